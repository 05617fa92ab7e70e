"""The parameters that several algorithms share, with their labels and help."""

from __future__ import annotations

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from ...engine.sensors import SENSORS
from ..figures import figures
from ..translation import tr

_ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced
_RASTER_OPTIONS = "processing.algs.gdal.ui.RasterOptionsWidget.RasterOptionsWidgetWrapper"
PROTOCOLS = ["product", "toolbox"]
DEVICES = ["auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "mps"]


def add(algorithm, parameter, text: str, advanced: bool = False) -> None:
    """Add a parameter with its help; ``advanced`` ones fold away in the dialog."""
    parameter.setHelp(text)
    if advanced:
        parameter.setFlags(parameter.flags() | _ADVANCED)
    algorithm.addParameter(parameter)


def add_pair(algorithm) -> None:
    """PAN and MS, as layers, chosen bands, or one file per band."""
    add(
        algorithm,
        QgsProcessingParameterRasterLayer("PAN", tr("Panchromatic image (PAN)")),
        tr("The sharp image with one grey band. The result lies on its pixel grid."),
    )
    add(
        algorithm,
        QgsProcessingParameterRasterLayer("MS", tr("Multispectral image (MS)"), optional=True),
        tr(
            "The coarser image with the colours, in the same coordinate system as PAN. Leave it "
            "empty when you give one file per band below."
        ),
    )
    add(
        algorithm,
        QgsProcessingParameterMultipleLayers(
            "MS_FILES",
            tr("Multispectral bands as single files"),
            QgsProcessing.SourceType.TypeRaster,
            optional=True,
        ),
        tr(
            "Instead of MS: one raster layer per band, in the order in which the bands shall stand "
            "in the result (for example B2, B3, B4 of a Landsat scene)."
        ),
    )
    add(
        algorithm,
        QgsProcessingParameterBand("PAN_BAND", tr("PAN band"), None, "PAN", optional=True),
        tr("Which band of the PAN layer to use, when it has several."),
        advanced=True,
    )
    add(
        algorithm,
        QgsProcessingParameterBand(
            "MS_BANDS", tr("MS bands"), None, "MS", optional=True, allowMultiple=True
        ),
        tr("Which bands of the MS image to use; all when nothing is chosen."),
        advanced=True,
    )


def add_sensor(algorithm) -> None:
    """The sensor whose MTF and band roles apply."""
    parameter = QgsProcessingParameterEnum(
        "SENSOR",
        tr("Sensor"),
        ["auto", *SENSORS],
        defaultValue="auto",
        usesStaticStrings=True,
    )
    titles = ", ".join(f"{key} = {sensor.title}" for key, sensor in SENSORS.items())
    text = tr(
        "Whose optical blur (MTF) and band order to assume. With auto the engine guesses from band "
        "count, names and tags, and the log says what it took: {}."
    )
    add(algorithm, parameter, text.format(titles))


def add_protocol(algorithm) -> None:
    """Product for real images, toolbox for comparison with published tables."""
    parameter = QgsProcessingParameterEnum(
        "PROTOCOL", tr("Protocol"), PROTOCOLS, defaultValue="product", usesStaticStrings=True
    )
    text = tr(
        "product does what is right for a real image. toolbox does literally what published tables "
        "were made with: array phase, their border rules, no clipping, double precision."
    )
    add(algorithm, parameter, text, advanced=True)


def add_coregister(algorithm) -> None:
    """Correct the residual shift between PAN and MS."""
    parameter = QgsProcessingParameterBoolean(
        "COREGISTER", tr("Correct the shift between PAN and MS"), defaultValue=False
    )
    text = tr(
        "The shift between PAN and MS that remains after georeferencing is always estimated and "
        "reported. Tick this to correct it; worthwhile from about half a PAN pixel."
    )
    add(algorithm, parameter, text)


def add_device(algorithm, advanced: bool = False) -> None:
    """Where a deep model computes."""
    parameter = QgsProcessingParameterEnum(
        "DEVICE", tr("Device"), DEVICES, defaultValue="auto", usesStaticStrings=True
    )
    text = tr(
        "auto takes the graphics card where there is one that the engine can use, and the CPU "
        "otherwise. cuda:1 is the second card."
    )
    add(algorithm, parameter, text, advanced)


def add_seed(algorithm) -> None:
    """The seed of the noise."""
    parameter = QgsProcessingParameterNumber(
        "SEED", tr("Seed"), QgsProcessingParameterNumber.Type.Integer, 0, minValue=0
    )
    add(
        algorithm,
        parameter,
        tr("Of the random numbers; the same seed gives the same result."),
        advanced=True,
    )


def add_crop(algorithm, number) -> None:
    """Border pixels left out of the figures."""
    text = tr(
        "Leave out that many pixels along the border when comparing with a reference, as published "
        "tables do (21 at ratio 4)."
    )
    add(algorithm, number, text, advanced=True)


def add_creation_options(algorithm) -> None:
    """GeoTIFF creation options, with the widget the GDAL algorithms have."""
    parameter = QgsProcessingParameterString(
        "OPTIONS", tr("Additional creation options"), defaultValue="", optional=True
    )
    widget = {"class": _RASTER_OPTIONS}
    if Qgis.QGIS_VERSION_INT >= 34000:
        widget = {"widget_type": "rasteroptions"}
    parameter.setMetadata({"widget_wrapper": widget})
    text = tr(
        "GDAL creation options, for example COMPRESS=ZSTD|ZLEVEL=9. Without any, the file is tiled "
        "and compressed (deflate with predictor), and BigTIFF when it may become large."
    )
    add(algorithm, parameter, text, advanced=True)


def add_report(algorithm, label: str, text: str) -> None:
    """An HTML file, made when asked for, shown in the Results Viewer."""
    parameter = QgsProcessingParameterFileDestination(
        "HTML",
        label,
        tr("HTML files (*.html)"),
        defaultValue=None,
        optional=True,
        createByDefault=False,
    )
    add(algorithm, parameter, text)


def add_numbers(algorithm, numbers: dict[str, str]) -> None:
    """Numeric outputs: name and label."""
    for name, label in numbers.items():
        algorithm.addOutput(QgsProcessingOutputNumber(name, label))


def add_figures(algorithm) -> None:
    """Every quality figure as a numeric output."""
    add_numbers(algorithm, {key.upper(): label for key, label in figures().items()})
