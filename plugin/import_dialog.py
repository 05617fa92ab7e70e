"""Asks for checkpoints of one's own (or the authors') and what they were trained for."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from ..engine import Cancelled, WhetstoneError
from ..engine.cards import file_hash, read_card
from ..engine.library import model_files, user_folder
from ..engine.sensors import SENSORS
from .translation import tr

_CHECKPOINTS = "PyTorch (*.pt *.pth *.safetensors)"
_MODELS = "Safetensors (*.safetensors)"
_NAME = re.compile(r"[\w][\w.+-]*")


class ImportDialog(QDialog):
    """One file for SSDiff, three for CrossDiff, or a finished model that is only copied."""

    def __init__(self, parent: QWidget | None = None, engine: bool = True) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Import a model"))
        self.engine = engine
        self.kind = QComboBox()
        for key, label in (
            ("ssdiff", tr("SSDiff checkpoint")),
            ("crossdiff", tr("CrossDiff checkpoints (three)")),
            ("model", tr("Finished model with its card (.safetensors and .json)")),
        ):
            self.kind.addItem(label, key)
        self.files = {
            "ssdiff": _file(_CHECKPOINTS),
            "p2m": _file(_CHECKPOINTS),
            "m2p": _file(_CHECKPOINTS),
            "head": _file(_CHECKPOINTS),
            "model": _file(_MODELS),
        }
        self.labels = {
            "ssdiff": QLabel(tr("Checkpoint")),
            "p2m": QLabel(tr("PAN to MS (P2M)")),
            "m2p": QLabel(tr("MS to PAN (M2P)")),
            "head": QLabel(tr("Fusion head")),
            "model": QLabel(tr("Model")),
        }
        self.sensor, self.full_scale, self.ratio = QComboBox(), QDoubleSpinBox(), QDoubleSpinBox()
        self.sensor.addItem(tr("not stated"), "")
        for key, sensor in SENSORS.items():
            if key != "generic":
                self.sensor.addItem(sensor.title, key)
        self.full_scale.setRange(0.01, 1e6)
        self.full_scale.setDecimals(2)
        self.full_scale.setValue(2047)
        self.full_scale.setToolTip(tr("What the training images were divided by"))
        self.ratio.setRange(1.5, 32)
        self.ratio.setValue(4)
        self.name, self.trouble = QLineEdit(), QLabel()
        self.trouble.setWordWrap(True)
        self._lay_out()
        self.refresh()

    def _lay_out(self) -> None:
        self.form = QFormLayout()
        self.form.addRow(tr("What"), self.kind)
        for key, widget in self.files.items():
            self.form.addRow(self.labels[key], widget)
            widget.fileChanged.connect(self._suggest_name)
        self.about = (QLabel(tr("Sensor")), QLabel(tr("Full scale")), QLabel(tr("Ratio")))
        for label, widget in zip(self.about, (self.sensor, self.full_scale, self.ratio)):
            self.form.addRow(label, widget)
        self.form.addRow(tr("Name"), self.name)
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(ok | cancel)
        self.buttons.button(ok).setText(tr("Import"))
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(self.form)
        layout.addStretch(1)
        layout.addWidget(self.trouble)
        layout.addWidget(self.buttons)
        self.kind.currentIndexChanged.connect(self.refresh)
        self.name.textChanged.connect(self.refresh)
        self.resize(620, 330)

    def wanted_files(self) -> list[str]:
        """The fields that the chosen kind has."""
        kind = self.kind.currentData()
        return ["p2m", "m2p", "head"] if kind == "crossdiff" else [kind]

    def refresh(self) -> None:
        """Show the fields of the chosen kind, and what is still missing."""
        wanted, kind = self.wanted_files(), self.kind.currentData()
        for key, widget in self.files.items():
            widget.setVisible(key in wanted)
            self.labels[key].setVisible(key in wanted)
        about = zip(self.about, (self.sensor, self.full_scale, self.ratio))
        for number, (label, widget) in enumerate(about):
            shown = kind == "crossdiff" if number == 2 else kind != "model"
            label.setVisible(shown)
            widget.setVisible(shown)
        self.name.setPlaceholderText("" if kind == "model" else f"{kind}-my-sensor")
        trouble = self._trouble()
        self.trouble.setText(trouble)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(not trouble)

    def _trouble(self) -> str:
        """Why the dialog cannot be accepted yet; "" when it can."""
        if self.kind.currentData() != "model" and not self.engine:
            return tr("Checkpoints are read by the engine; install it first.")
        for key in self.wanted_files():
            path = self.files[key].filePath()
            if not path:
                return tr("Choose: {}").format(self.labels[key].text())
            if not os.path.isfile(path):
                return tr("There is no file {}").format(path)
        if not _NAME.fullmatch(self.name.text()):
            return tr("Give it a name of letters, digits, hyphens and dots.")
        if self.target().stem in {path.stem for _, path in model_files()}:
            return tr("There is a model of that name already.")
        return ""

    def _suggest_name(self, path: str) -> None:
        if not self.name.text() and path:
            self.name.setText(re.sub(r"[^\w.+-]+", "-", Path(path).stem).strip("-."))
        self.refresh()

    def target(self) -> Path:
        """The file that the model becomes."""
        return user_folder() / f"{self.name.text()}.safetensors"

    def words(self) -> list[str]:
        """What to ask the engine; empty when nothing but copying is to be done."""
        kind = self.kind.currentData()
        if kind == "model":
            return []
        files = [self.files[key].filePath() for key in self.wanted_files()]
        words = ["models", "import", *files, "--out", str(self.target())]
        words += ["--full-scale", f"{self.full_scale.value():g}"]
        if self.sensor.currentData():
            words += ["--sensor", self.sensor.currentData()]
        return [*words, "--ratio", f"{self.ratio.value():g}"] if kind == "crossdiff" else words

    def copying(self):
        """The act that copies a finished model after a look at its card and hash."""
        source, target = Path(self.files["model"].filePath()), self.target()
        return lambda progress, log: copy_model(source, target, progress)


def _file(kinds: str) -> QgsFileWidget:
    widget = QgsFileWidget()
    widget.setStorageMode(QgsFileWidget.StorageMode.GetFile)
    widget.setFilter(kinds)
    return widget


def copy_model(source: Path, target: Path, progress) -> dict:
    """Copy weights and card into the user's folder, if they belong together."""
    card = read_card(source.with_suffix(".json"))
    found = file_hash(source)
    if found != card.sha256:
        raise WhetstoneError(
            "CHECKSUM",
            tr("The model file is damaged or was changed: its SHA-256 is not its card's."),
            tr("Get it again."),
        )
    if progress.cancelled():
        raise Cancelled()
    drafts = target.with_name(f".{target.name}.part"), target.with_name(f".{target.stem}.json.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, drafts[0])
        shutil.copyfile(source.with_suffix(".json"), drafts[1])
        os.replace(drafts[1], target.with_suffix(".json"))
        os.replace(drafts[0], target)  # last: models are found by their weights
    except OSError as error:
        raise WhetstoneError(
            "MODEL_WRITE",
            tr("{} cannot be written: {}").format(target, error.strerror or error),
            tr("Set WHETSTONE_MODELS to a folder of yours."),
        ) from error
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    return {"name": target.stem, "path": str(target)}
