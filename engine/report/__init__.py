"""The quality report: figures in words, a verdict, views, one self-contained HTML file.

``figures``, ``model`` and ``verdict`` need nothing but Python; ``views`` needs numpy, ``render``
jinja2. Import from the modules, so that a command line that only wants the texts stays quick.
"""
