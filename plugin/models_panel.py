"""The models' part of the options page: what there is, and getting, importing, deleting them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..engine.library import user_folder
from .background import work_on
from .engine_home import engine_state
from .engine_process import run_words
from .import_dialog import ImportDialog
from .models_list import Row, delete_model, model_rows
from .network import network_environment
from .translation import tr
from .work_view import ProgressRow


class ModelsPanel(QGroupBox):
    """A table with one line per model, and what can be done with the chosen one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(tr("Models"), parent)
        self.work = work_on("models")
        self.work.forget_outcome()
        self.rows: list[Row] = []
        self.table = QTableWidget(0, len(_headings()))
        self.table.setHorizontalHeaderLabels(_headings())
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setAlternatingRowColors(True)
        self.table.verticalHeader().hide()
        self.table.setMinimumHeight(150)
        row = round(1.7 * self.fontMetrics().height())
        self.table.verticalHeader().setDefaultSectionSize(row)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.download, self.bring = QPushButton(tr("Download")), QPushButton(tr("Import…"))
        self.delete, self.again = QPushButton(tr("Delete")), QPushButton(tr("Refresh"))
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = ProgressRow(self.work)
        buttons, layout = QHBoxLayout(), QVBoxLayout(self)
        for button in (self.download, self.bring, self.delete):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.again)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.note)
        self.download.clicked.connect(self._download)
        self.bring.clicked.connect(self._import)
        self.delete.clicked.connect(self._delete)
        self.again.clicked.connect(self.refresh)
        self.table.itemSelectionChanged.connect(self._enable)
        self.work.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, kind: str = "") -> None:
        """Read the model folders again; the chosen line stays chosen."""
        chosen = self.chosen()
        self.rows, notes = model_rows()
        self.table.setRowCount(len(self.rows))
        for number, row in enumerate(self.rows):
            for column, text in enumerate(row.cells()):
                item = QTableWidgetItem(text)
                item.setToolTip(row.path or text)
                self.table.setItem(number, column, item)
            if chosen is not None and row.name == chosen.name:
                self.table.selectRow(number)
        folder = tr("Your models are in {}").format(user_folder())
        self.note.setText("\n".join([folder, *notes]))
        self._enable()

    def chosen(self) -> Row | None:
        """The line that is selected."""
        numbers = {item.row() for item in self.table.selectedItems()}
        number = min(numbers, default=-1)
        return self.rows[number] if 0 <= number < len(self.rows) else None

    def _enable(self) -> None:
        row, idle = self.chosen(), not self.work.kind
        usable = engine_state().usable
        self.download.setEnabled(idle and usable and row is not None and row.where == "hub")
        self.bring.setEnabled(idle)
        self.delete.setEnabled(idle and row is not None and row.where == "user")
        self.again.setEnabled(idle)
        needs = "" if usable else tr("The engine is needed for this; install it above.")
        self.download.setToolTip(needs or tr("Get the chosen model; a broken download goes on."))
        self.bring.setToolTip(tr("Bring in checkpoints of your own training"))
        self.delete.setToolTip(tr("Only models in your own folder can be deleted"))

    def _download(self) -> None:
        row = self.chosen()
        if row is not None:
            words = ["models", "download", row.name]
            act = partial(_ask, engine_state().python, words, network_environment())
            title, done = tr("Downloading {}"), tr("{} is downloaded.")
            self.work.start("download", title.format(row.name), act, done.format(row.name))

    def _import(self) -> None:
        dialog = ImportDialog(self, engine_state().usable)
        if not dialog.exec():
            return
        words, name = dialog.words(), dialog.target().stem
        act = partial(_ask, engine_state().python, words, {}) if words else dialog.copying()
        title, done = tr("Importing {}"), tr("{} is imported.")
        self.work.start("import", title.format(name), act, done.format(name))

    def _delete(self) -> None:
        row = self.chosen()
        if row is None or row.where != "user":
            return
        question = tr("Delete the model {} and its card? This cannot be undone.").format(row.name)
        yes = QMessageBox.StandardButton.Yes
        if QMessageBox.question(self, tr("Whetstone"), question) != yes:
            return
        try:
            delete_model(Path(row.path))
        except OSError as error:
            QMessageBox.warning(self, tr("Whetstone"), f"{row.path}: {error.strerror or error}")
        self.refresh()


def _headings() -> list[str]:
    return [
        tr("Name"),
        tr("Method"),
        tr("Sensors"),
        tr("Bands"),
        tr("Ratio"),
        tr("Size"),
        tr("From"),
        tr("ERGAS"),
        tr("Licence"),
    ]


def _ask(python: str, words: list[str], network: dict[str, str], progress, log) -> dict:
    return run_words(python, words, progress, network)
