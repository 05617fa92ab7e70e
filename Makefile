# Two commands do it all on a fresh Debian 12 or Ubuntu: `make demo` and `make test`.
ENGINE := .venv/engine/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench benchmark-quality pictures translations package clean

help:     ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' \
	    | awk -F'|' '{ printf "make %-18s %s\n", $$1, $$2 }'

setup:    ## install what is missing: system packages, .venv/engine, .venv/qgis
	@tools/setup.sh

demo: setup     ## draw a scene, fuse it through QGIS's Processing, print scores, write a report
	@tools/demo.sh

test: setup     ## run every test
	@tools/test.sh

lint: setup     ## style, types, oldest Python, Qt 6
	@$(ENGINE) tools/lint.py

bench: setup    ## speed and memory: against gdal_pansharpen.py, of the deep models, and in the window
	@missed=0; for each in bench bench_deep bench_crossdiff bench_window; do \
	    $(ENGINE) tools/$$each.py || missed=1; done; exit $$missed

benchmark-quality: setup ## scores of all methods and bundled models: SCENES="FOLDER..." (and a drawn scene)
	@SCENES="$(SCENES)" FULL="$(FULL)" ADAPT="$(ADAPT)" CNN="$(CNN)" \
	    RESUME="$(RESUME)" tools/benchmark_quality.sh

pictures: setup ## take the pictures of the documentation anew (look at them before committing)
	@$(ENGINE) tools/pictures.py

translations: setup ## collect the plugin's texts, compile the translations
	@$(ENGINE) tools/translations.py

package: setup  ## build and check the plugin zip in dist/
	@$(ENGINE) tools/package.py

clean:    ## remove everything that the other targets made, .venv excepted
	rm -rf build dist demo *.egg-info .qgis-settings .pytest_cache .ruff_cache .mypy_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
