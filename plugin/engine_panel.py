"""The engine's part of the options page: its state, what can be done about it, and how it goes."""

from __future__ import annotations

import html
from functools import partial
from pathlib import Path

from qgis.core import QgsSettings
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import (
    QApplication,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..engine import WhetstoneError
from . import installer
from .background import work_on
from .builds import builds, graphics_cards, size_of, suggest_build
from .diagnostics import diagnostics
from .engine_home import (
    SETTING,
    EngineState,
    build_name,
    data_folder,
    engine_state,
    managed_state,
)
from .engine_process import busy, run_words
from .network import network_environment
from .pip_trouble import gigabytes
from .pythons import refuse_system
from .translation import tr
from .work_view import BAD, GOOD, LogView, ProgressRow

_COLOURS = {
    "missing": "#8a9199",
    "half": "#e0a100",
    "outdated": "#e0a100",
    "broken": "#d9503f",
    "ready": "#3f9e58",
    "external": "#3b74c4",
    "working": "#3b74c4",
}
#: What the self-test said last, by the Python that was tested.
TESTED: dict[str, dict] = {}


class EnginePanel(QGroupBox):
    """Install, update, repair, remove, test; or name a Python of one's own."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(tr("Engine for the deep models"), parent)
        self.work, self.cards, self.models = map(work_on, ("engine", "cards", "models"))
        self.work.forget_outcome()
        self.state: EngineState = engine_state()
        self.build_chosen = False  # by the user
        self._build_widgets()
        self._lay_out()
        for signal, slot in (
            (self.work.changed, self.refresh),
            (self.models.changed, self.refresh),
            (self.work.ended, self._suggest),
            (self.cards.ended, self._suggest),
        ):
            signal.connect(slot)
        if self.cards.answer is None:
            self.cards.start("cards", tr("Asking the graphics card"), _ask_cards)
        self._suggest()
        self.refresh()

    # -- what is on it --------------------------------------------------------------------------

    def _build_widgets(self) -> None:
        self.dot, self.sentence = QLabel("●"), QLabel()
        self.sentence.setWordWrap(True)
        font = self.sentence.font()
        font.setBold(True)
        self.sentence.setFont(font)
        self.act, self.remove = QPushButton(), QPushButton(tr("Remove"))
        self.test = QPushButton(tr("Self-test"))
        self.test.setToolTip(tr("Loads PyTorch, checks projections, fuses 64 × 64 pixels"))
        self.copy = QPushButton(tr("Copy diagnostics"))
        self.copy.setToolTip(tr("Versions, state and log as Markdown, without private data"))
        self.builds = QComboBox()
        for build in builds():
            self.builds.addItem(f"{build_name(build)}", build)
        self.reason, self.room = QLabel(), QLabel()
        for label in (self.reason, self.room):
            label.setWordWrap(True)
        self.path = QgsFileWidget()
        self.path.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self.path.setDialogTitle(tr("A Python with PyTorch"))
        self.path.setFilePath(str(QgsSettings().value(SETTING, "") or ""))
        self.path.lineEdit().setPlaceholderText(tr("empty: the engine above"))
        self.path_test = QPushButton(tr("Test"))
        self.checks, self.log = QLabel(), LogView(self.work)
        self.checks.setWordWrap(True)
        self.progress = ProgressRow(self.work)
        self.act.clicked.connect(self._act)
        self.remove.clicked.connect(self._remove)
        self.test.clicked.connect(lambda: self._test(self.state.python))
        self.path_test.clicked.connect(lambda: self._test(self.path.filePath()))
        self.path.fileChanged.connect(self.refresh)
        self.copy.clicked.connect(self._copy)
        self.builds.currentIndexChanged.connect(self.refresh)
        self.builds.activated.connect(self._choose)

    def _lay_out(self) -> None:
        head, buttons, own, choice = (QHBoxLayout() for _ in range(4))
        head.addWidget(self.dot)
        head.addWidget(self.sentence, 1)
        choice.addWidget(self.builds)
        choice.addWidget(self.reason, 1)
        for button in (self.act, self.remove, self.test):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.copy)
        own.addWidget(self.path, 1)
        own.addWidget(self.path_test)
        self.form_build, self.form_room = QLabel(tr("Build")), QLabel(tr("Room"))
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.form_build, choice)
        form.addRow(self.form_room, self.room)
        form.addRow(buttons)
        form.addRow(QLabel(tr("Your own Python")), own)
        layout = QVBoxLayout(self)
        layout.addLayout(head)
        layout.addLayout(form)
        layout.addWidget(self.progress)
        layout.addWidget(self.checks)
        layout.addWidget(self.log)

    # -- what it shows --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the state as it is now."""
        self.state, managed = engine_state(), managed_state()
        running = bool(self.work.kind)
        code = "working" if running else self.state.code
        self.dot.setStyleSheet(f"color: {_COLOURS[code]}; font-size: 16pt;")
        unsupported = unsupported_system() if self.state.code == "missing" else ""
        idle = unsupported or self.state.sentence
        self.sentence.setText(self.work.title + "…" if running else idle)
        self.sentence.setToolTip(self.state.python)
        named = self.state.origin not in ("", "managed", "qgis") or bool(unsupported)
        label = self._label(managed)
        self.act.setText(label)
        self.act.setVisible(bool(label) and not named)
        self.remove.setVisible(managed.code != "missing")
        self.test.setVisible(self.state.usable or self.state.code == "broken")
        for widget in (self.form_build, self.builds, self.reason, self.form_room, self.room):
            widget.setVisible(not named)
        for widget in (self.test, self.builds, self.path):
            widget.setEnabled(not running)
        for widget in (self.act, self.remove):  # not from under a download or an import
            widget.setEnabled(not running and not self.models.kind)
        self.path_test.setEnabled(not running and bool(self.path.filePath()))
        size, free = size_of(self.builds.currentData()), installer.free_space(data_folder())
        self.room.setText(
            tr("{} GB to download, {} GB on disk; {} GB are free").format(
                gigabytes(size.download), gigabytes(size.disk), gigabytes(free)
            )
        )
        self.room.setToolTip(str(data_folder()))
        self._show_checks()

    def _label(self, managed: EngineState) -> str:
        """What the first button does; "" when there is nothing to do."""
        if managed.code == "ready":
            build = self.builds.currentData()
            return "" if build == managed.build else tr("Change to {}").format(build_name(build))
        labels = {"missing": tr("Install"), "outdated": tr("Update")}
        return labels.get(managed.code, tr("Repair"))

    def _show_checks(self) -> None:
        answer = TESTED.get(self.tested_python()) or {}
        rows = [
            f"<span style='color:{GOOD if check['ok'] else BAD}'>{'✔' if check['ok'] else '✘'}"
            f"</span> <b>{html.escape(check['name'])}</b> {html.escape(check['detail'])}"
            for check in answer.get("checks", ())
        ]
        self.checks.setText("<br>".join(rows))
        self.checks.setVisible(bool(rows) and not self.work.kind)

    def tested_python(self) -> str:
        """The Python whose test is shown: the one in the field, if it was the last one tested."""
        field = self.path.filePath()
        return field if field in TESTED else self.state.python

    def _suggest(self, kind: str = "") -> None:
        """Choose the build that is installed, else the one that suits the graphics card."""
        managed = managed_state()
        suits = managed.build or "cpu"
        if self.cards.answer is None:
            self.reason.setText(tr("Asking the graphics card…"))
        else:
            build, reason = suggest_build(self.cards.answer)
            self.reason.setText(tr("Suggested: {}. {}").format(build_name(build), reason))
            suits = managed.build or build
        if not self.build_chosen:
            self.builds.setCurrentIndex(max(self.builds.findData(suits), 0))
        self.refresh()

    def _choose(self, index: int) -> None:
        self.build_chosen = True

    # -- what it does ---------------------------------------------------------------------------

    def _may_change(self) -> bool:
        """Not from under a job that runs on it."""
        if busy():
            text = tr("The engine is at work. Wait until its jobs have ended, or cancel them.")
            QMessageBox.information(self, tr("Whetstone"), text)
        return not busy()

    def _act(self) -> None:
        if not self._may_change():
            return
        build, network = self.builds.currentData(), network_environment()
        titles = {"missing": tr("Installing the engine"), "outdated": tr("Updating the engine")}
        title = titles.get(managed_state().code, tr("Repairing the engine"))
        act = partial(_install, build, network)
        self._begin("install", title, act, tr("The engine is installed and passed its self-test."))

    def _remove(self) -> None:
        if not self._may_change():
            return
        question = tr("Remove the engine and free {} GB? Models stay.").format(
            gigabytes(size_of(managed_state().build or "cpu").disk)
        )
        yes = QMessageBox.StandardButton.Yes
        if QMessageBox.question(self, tr("Whetstone"), question) == yes:
            title, done = tr("Removing the engine"), tr("The engine is removed.")
            self._begin("remove", title, installer.remove, done)

    def _test(self, python: str) -> None:
        managed = self.state.origin == "managed" and python == self.state.python
        folder = Path(self.state.folder) if managed else None
        done = tr("The self-test is passed.")
        self._begin("test", tr("Testing the engine"), partial(_test, python, folder), done)

    def _begin(self, kind: str, title: str, act, done: str) -> None:
        TESTED.clear()
        self.build_chosen = False
        self.work.start(kind, title, act, done)

    def _copy(self) -> None:
        tested = TESTED.get(self.tested_python())
        text = diagnostics(self.work.lines, tested, self.cards.answer, self.state)
        QApplication.clipboard().setText(text)
        self.copy.setText(tr("Copied"))
        QTimer.singleShot(2000, self._copied)

    def _copied(self) -> None:
        self.copy.setText(tr("Copy diagnostics"))

    def apply(self) -> None:
        """Keep the path of the user's own Python."""
        path = self.path.filePath().strip()
        settings = QgsSettings()
        if path:
            settings.setValue(SETTING, path)
        else:
            settings.remove(SETTING)
        self.refresh()


def unsupported_system() -> str:
    """Why nothing can be installed here; "" if it can."""
    try:
        refuse_system()
    except WhetstoneError as error:
        return str(error)
    return ""


def _install(build: str, network: dict, progress, log) -> dict:
    return installer.install(build, progress, log, network, _remembered)


def _test(python: str, folder: Path | None, progress, log) -> dict:
    return installer.tested(python, progress, log, _remembered, folder)


def _remembered(python: str, progress) -> dict:
    TESTED[python] = run_words(python, ["selftest"], progress)
    return TESTED[python]


def _ask_cards(progress, log) -> list:
    return graphics_cards()
