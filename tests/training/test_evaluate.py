"""The tables of scores, on synthetic scenes of three sensors."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from whetstone.engine import (
    AssessJob,
    CompareJob,
    DemoJob,
    RasterSource,
    library,
    result_to_dict,
    run,
)
from whetstone.engine.raster import backend as make_backend

ROOT = Path(__file__).parents[2]
torch = pytest.importorskip("torch", reason="one of the entrants is a deep model")
torch.set_num_threads(1)
for folder in (ROOT / "training", ROOT / "tests" / "unit"):
    sys.path.insert(0, str(folder))

import evaluate  # noqa: E402
from scenes import Ground, as_type, coarse_grid, fine_grid, make_pair, write  # noqa: E402
from whetstone.engine.cards import Card  # noqa: E402
from whetstone.engine.deep.crossdiff import CrossDiff  # noqa: E402
from whetstone.engine.deep.ssdiff import SSDiff  # noqa: E402
from whetstone.engine.deep.weights import save_model  # noqa: E402

METHODS = ("exp", "gsa")
GE1, QB = "GeoEye-1, 4 bands at ratio 4", "QuickBird, 4 bands at ratio 4"


def scene(folder, name, seed, ratio=4, truth=False, **more):
    """<name>_pan.tif, <name>_ms.tif and perhaps <name>_gt.tif."""
    backend = make_backend()
    pair = make_pair(backend, folder, ratio=ratio, ground=Ground(seed=seed), **more)
    for kind in ("pan", "ms"):
        Path(getattr(pair, kind)).rename(folder / f"{name}_{kind}.tif")
    if truth:
        write(backend, folder / f"{name}_gt.tif", as_type(pair.truth, "uint16"), fine_grid())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two scenes of one sensor, one at reduced resolution, one of another ratio."""
    path = tmp_path_factory.mktemp("scenes")
    scene(path, "GE1_one", 1, size=(64, 64))
    scene(path, "GE1_two", 2, size=(64, 64))
    scene(path, "QB_three", 3, size=(32, 32), truth=True)
    scene(path, "L8_four", 4, ratio=2, size=(64, 64))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with random weights and small residuals, as real ones are."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "weights.safetensors"
    parameters = {"bands": 4, "share_resample": True}
    network = SSDiff(**parameters)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)  # some begin as zeros
        for module in (network.head.conv2, network.lr_up.conv):
            for parameter in module.parameters():
                parameter.mul_(0.03)
    save_model(path, network, Card("tiny", "ssdiff", parameters, 4, 4, window=32, steps=1))
    return path


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run the script; its status, its Markdown, its JSON and its messages."""

    def call(*words):
        file = tmp_path / "scores.json"
        argv = ["evaluate.py", *map(str, words), "--json", str(file)]
        monkeypatch.setattr(sys, "argv", argv)
        status = evaluate.quiet()
        out, err = capsys.readouterr()
        return status, out, json.loads(file.read_text()) if file.exists() else None, err

    return call


def section(page, title):
    """The cells of the table under a heading, by method."""
    body = page.split(f"## {title}", 1)[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in lines if not cells[0].startswith("---")}


def figures(data, name, resolution, method):
    """The scores of one row."""
    (row,) = (
        row
        for row in data["rows"]
        if (row["scene"], row["resolution"], row["method"]) == (name, resolution, method)
    )
    return row["scores"]


@pytest.fixture(scope="module")
def everything(folder, model, tmp_path_factory):
    """One run of all there is: the page, the JSON."""
    out = tmp_path_factory.mktemp("out")
    words = [folder, "--methods", ",".join(METHODS), "--models", model]
    words += ["--markdown", out / "page.md", "--json", out / "scores.json"]
    script = [sys.executable, ROOT / "training" / "evaluate.py"]
    done = subprocess.run([*script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert sorted(p.name for p in out.iterdir()) == ["page.md", "scores.json"]
    return (out / "page.md").read_text("utf-8"), json.loads((out / "scores.json").read_text())


def direct(folder, name, out, method, **more):
    """What the engine says of one method on one pair."""
    pan, ms = (RasterSource.of(str(folder / f"{name}_{kind}.tif")) for kind in ("pan", "ms"))
    job = CompareJob(pan, ms, (method,), str(out), **more)
    return result_to_dict(run(job))["rows"][0]["scores"]


def test_figures_are_those_of_the_engine(everything, folder, model, tmp_path):
    _, data = everything
    for method, name, more in (
        ("exp", "exp", {}),
        ("gsa", "gsa", {}),
        ("ssdiff", "tiny", {"model": str(model)}),
    ):
        found = figures(data, "GE1_one", "full", name)
        assert found == pytest.approx(direct(folder, "GE1_one", tmp_path, method, **more))
        found = figures(data, "GE1_one", "reduced", name)
        want = direct(folder, "GE1_one", tmp_path, method, reduced=True, **more)
        assert "ergas" in found
        assert found == pytest.approx(want)
    truth = RasterSource.of(str(folder / "QB_three_gt.tif"))
    want = direct(folder, "QB_three", tmp_path, "gsa", reference=truth)
    assert figures(data, "QB_three", "reduced", "gsa") == pytest.approx(want)


def test_a_pair_is_moved_before_it_is_scored(call, tmp_path):
    scene(tmp_path, "GE1_moved", 1, size=(256, 256), shift=(1.0, -0.6))
    _, _, data, _ = call(tmp_path, "--methods", "gsa", "--coregister", "--resolution", "full")
    found = figures(data, "GE1_moved", "full", "gsa")
    plain, moved = (
        direct(tmp_path, "GE1_moved", tmp_path / "out", "gsa", coregister=on)
        for on in (False, True)
    )
    assert found == pytest.approx(moved)
    assert found["r_ergas"] != pytest.approx(plain["r_ergas"], rel=0.01)


def test_means_and_deviations(everything):
    page, data = everything
    (table,) = (t for t in data["tables"] if (t["group"], t["resolution"]) == (GE1, "full"))
    assert table["scenes"] == 2
    assert [line["method"] for line in table["lines"]] == [*METHODS, "tiny"]
    cells = section(page, f"{GE1}, full resolution (2 scenes)")
    column = cells["method"].index("d_rho ▼")
    means = {}
    for line in table["lines"]:
        name = line["method"]
        values = [figures(data, f"GE1_{n}", "full", name)["d_rho"] for n in ("one", "two")]
        means[name] = statistics.fmean(values)
        assert line["means"]["d_rho"] == pytest.approx(means[name])
        assert line["deviations"]["d_rho"] == pytest.approx(statistics.stdev(values))
        assert line["counts"]["d_rho"] == line["scenes"] == 2
        text = f"{means[name]:.3f} ({statistics.stdev(values):.3f})"
        assert cells[name][column].strip("*") == text
        rates = [r["seconds_per_megapixel"] for r in data["rows"] if r["method"] == name]
        assert min(rates) <= line["seconds_per_megapixel"] <= max(rates)
    bold = [name for name in means if cells[name][column].startswith("**")]
    assert bold == [min(means, key=means.get)]
    higher = cells["method"].index("hqnr ▲")
    best = max(table["lines"], key=lambda line: line["means"]["hqnr"])
    assert cells[best["method"]][higher].startswith("**")
    assert "All sensors, full resolution (3 scenes)" in page
    assert f"{QB}, full" not in page


def test_a_model_that_does_not_fit_is_noted(everything):
    page, data = everything
    assert "tiny" not in section(
        page, "Landsat 8 OLI, 4 bands at ratio 2, full resolution (1 scene)"
    )
    overall = section(page, "All sensors, reduced resolution (4 scenes)")
    assert "**" not in "".join(overall["tiny (3 of 4 scenes)"])
    assert {"exp", "gsa"} < set(overall)
    notes = [note for note in data["notes"] if "ratio 4" in note["text"]]
    assert {(n["scene"], n["resolution"], n["method"]) for n in notes} == {
        ("L8_four", "reduced", "tiny"),
        ("L8_four", "full", "tiny"),
    }
    assert "- tiny, on L8_four (reduced), L8_four (full): The model" in page
    assert data["models"]["tiny"]["sha256"][:12] in page


def row(scene, method, **scores):
    """A made-up row at full resolution."""
    scores = dict.fromkeys(evaluate.COLUMNS["full"], 0.5) | scores
    return evaluate.Row(scene, scene, "GeoEye-1", "full", method, 1.0, 2.0, scores)


def test_an_undefined_figure_is_no_zero():
    rows = [row("a", "exp", d_s=0.3, hqnr=None), row("b", "exp", d_s=0.1, hqnr=None)]
    rows += [row("a", "gsa", d_s=None, hqnr=0.9), row("b", "gsa", d_s=0.1)]
    (table,) = evaluate.tables(rows, ["gsa", "exp"])
    gsa, exp = table.lines
    assert (gsa.method, gsa.means["d_s"], gsa.counts["d_s"]) == ("gsa", 0.1, 1)
    assert "d_s" not in gsa.deviations
    assert exp.means["d_s"] == pytest.approx(0.2)
    assert "hqnr" not in exp.means
    cells = section("\n".join(["## x", *evaluate.markdown(table)]), "x")
    assert cells["method"][:3] == ["hqnr ▲", "d_lambda_k ▼", "d_s ▼"]
    assert cells["gsa"][:3] == ["**0.700 (0.283)**", "**0.500 (0.000)**", "0.100 (1 of 2)"]
    assert cells["exp"][:3] == ["–", "**0.500 (0.000)**", "**0.200 (0.141)**"]


def test_notes_of_one_reason_stand_together():
    notes = [evaluate.Note(s, "full", m, "Why.") for s in "ab" for m in ("gsa", "exp")]
    notes.append(evaluate.Note("c", "reduced", "", "Lost."))
    assert evaluate.in_words(notes) == [
        "gsa, exp, on a (full), b (full): Why.",
        "all, on c (reduced): Lost.",
    ]


def test_steps_and_names_of_models(call, folder, model, tmp_path):
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(model.read_bytes())
    twin.with_suffix(".json").write_bytes(model.with_suffix(".json").read_bytes())
    status, page, data, _ = call(
        folder, "--only", "QB_*", "--methods", "", "--models", model, twin, "--steps", 1, 2
    )
    assert status == 0
    names = ["tiny @1", "tiny @2", f"{twin} @1", f"{twin} @2"]
    assert [row["method"] for row in data["rows"]] == names
    assert list(data["models"]) == ["tiny", str(twin)]
    one, two, *_ = (row["scores"]["ergas"] for row in data["rows"])
    assert one != two
    assert list(section(page, f"{QB}, reduced resolution (1 scene)"))[1:] == names


def test_models_are_scored_corrected_too(call, tmp_path, model):
    scene(tmp_path, "GE1_large", 1, size=(256, 256))  # at its edges nothing is corrected
    words = ("--methods", "", "--models", model, "--resolution", "full")
    _, _, data, _ = call(tmp_path, *words, "--consistency")
    plain, corrected = data["rows"]
    assert (plain["method"], corrected["method"]) == ("tiny", "tiny --consistency")
    assert corrected["scores"]["r_ergas"] < 0.5 * plain["scores"]["r_ergas"]
    assert corrected["scores"]["r_q2n"] > plain["scores"]["r_q2n"]


@pytest.fixture(scope="module")
def crossdiff(tmp_path_factory):
    """A CrossDiff model with random weights and small residuals."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "weights.safetensors"
    network = CrossDiff(bands=4)
    with torch.no_grad():
        for parameter in network.head.conv2.parameters():
            parameter.mul_(0.01)
    save_model(path, network, Card("cross", "crossdiff", {"bands": 4}, 4, 4))
    return path


def test_models_of_either_architecture(call, folder, model, crossdiff, tmp_path):
    """Steps are SSDiff's; CrossDiff takes one pass."""
    status, page, data, _ = call(
        folder, "--only", "QB_*", "--methods", "", "--models", model, crossdiff, "--steps", 1, 2
    )
    assert status == 0
    assert [row["method"] for row in data["rows"]] == ["tiny @1", "tiny @2", "cross"]
    truth = RasterSource.of(str(folder / "QB_three_gt.tif"))
    want = direct(folder, "QB_three", tmp_path, "crossdiff", reference=truth, model=str(crossdiff))
    assert figures(data, "QB_three", "reduced", "cross") == pytest.approx(want)
    assert "steps" not in data["models"]["cross"] and data["models"]["tiny"]["steps"] == [1, 2]
    assert "- cross: crossdiff, 4 bands, ratio 4; SHA-256" in page


def test_only_and_resolution(call, folder):
    status, page, data, _ = call(
        folder, folder / "GE1_two_pan.tif", "--only", "GE1_t*", "--methods", "EXP",
        "--resolution", "full",
    )  # fmt: skip
    assert status == 0
    assert [(row["scene"], row["resolution"]) for row in data["rows"]] == [("GE1_two", "full")]
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        f"## {GE1}, full resolution (1 scene)"
    ]
    assert f"{folder.name} GE1_two_pan.tif --only 'GE1_t*'" in page
    assert str(folder) not in page


def test_a_failure_leaves_the_rest(call, tmp_path):
    scene(tmp_path, "GE1_good", 1)
    scene(tmp_path, "GE1_lost", 2)
    (tmp_path / "GE1_lost_ms.tif").unlink()
    write(  # too few pixels to be degraded
        make_backend(),
        tmp_path / "GE1_lean_ms.tif",
        as_type(Ground().seen(range(0, 48, 4), range(0, 48, 4)), "uint16"),
        coarse_grid(4),
    )
    pan = as_type(Ground(1).seen(range(48), range(48)), "uint16")
    write(make_backend(), tmp_path / "GE1_lean_pan.tif", pan, fine_grid())
    status, page, data, err = call(tmp_path, "--methods", "exp")
    assert status == 0
    kinds = [(row["scene"], row["resolution"]) for row in data["rows"]]
    assert kinds == [("GE1_good", "reduced"), ("GE1_good", "full"), ("GE1_lean", "full")]
    assert "all, on GE1_lost (reduced), GE1_lost (full): " in page
    assert "all, on GE1_lean (reduced): The common area is 12 x 12" in page
    assert "GE1_lean" in err


@pytest.mark.parametrize(
    "words, says",
    [
        (["nowhere"], "SCENES: There is no 'nowhere'."),
        (["{folder}", "--only", "WV3*"], "holds no *_pan.tif that is named WV3*"),
        (["{folder}/QB_three_ms.tif"], "holds no *_pan.tif"),
        (["{folder}", "--methods", "gsaa"], "METHOD_UNKNOWN: "),
        (["{folder}", "--methods", "ssdiff"], "Name it with --models."),
        (["{folder}", "--methods", ""], "USAGE: "),
        (["{folder}", "--models", "no.safetensors"], "MODEL_UNKNOWN: "),
        (["{folder}", "--steps", "0"], "USAGE: "),
        (["{folder}", "--markdown", "no/where.md"], "OUT_FOLDER: "),
        (["{folder}", "--only", "QB*", "--resolution", "full"], "SCENES: Nothing could be scored"),
    ],
)
def test_errors_take_one_line(call, folder, words, says):
    status, out, data, err = call(*(word.format(folder=folder) for word in words))
    assert status == 1
    assert says in err
    assert err.count("\n") == 1
    assert (out, data) == ("", None)


def test_classical_methods_need_no_torch(folder, model):
    script = ROOT / "training" / "evaluate.py"
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = None\n"
        f"sys.argv[0] = {str(script)!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    words = [str(folder), "--only", "QB*", "--methods", "exp"]
    call = [sys.executable, "-c", code, *words]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| exp |" in done.stdout
    done = subprocess.run([*call, "--models", str(model)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("DEEP_MISSING: ")


# -- the benchmark page ---------------------------------------------------------------------------


def test_bundled_models_are_scored_where_they_fit(call, folder, monkeypatch, tmp_path, model):
    bundled = [library.open_model("bundled", model)]
    monkeypatch.setattr(evaluate, "list_models", lambda: bundled)
    monkeypatch.setattr(evaluate, "find_local", lambda name: bundled[0])
    monkeypatch.setattr(library, "model_files", lambda: [("bundled", model)])
    words = [folder, "--methods", "exp", "--models", "bundled", "--resolution", "reduced"]
    status, _, data, _ = call(*words)
    assert status == 0 and not data["notes"]
    fitted = {row["scene"] for row in data["rows"] if row["method"] == "tiny"}
    assert fitted == {"GE1_one", "GE1_two", "QB_three"}


def test_a_bundled_model_gives_way_to_one_with_the_bands_of_the_scene(monkeypatch):
    def made(name, bands, architecture="ssdiff"):
        card = SimpleNamespace(architecture=architecture, bands=bands, ratio=4.0)
        return SimpleNamespace(name=name, where="bundled", card=card)

    models = [made("four", 4), made("eight", 8), made("other", 3, "crossdiff")]
    monkeypatch.setattr(evaluate, "list_models", lambda: models)
    monkeypatch.setattr(evaluate, "find_local", lambda n: next(m for m in models if m.name == n))
    monkeypatch.setattr(evaluate, "describe_fit", lambda *_: "fits")
    taken = {
        bands: [
            model.name
            for model in models
            if evaluate.Pair(None, "", 1.0, bands, 4.0, "wv2").takes(
                evaluate.Entrant(model.name, model.card.architecture, model.name, bundled=True),
                "reduced",
                True,
            )
        ]
        for bands in (3, 4, 8)
    }
    assert taken == {
        3: ["four", "eight", "other"],
        4: ["four", "other"],
        8: ["eight", "other"],
    }


def test_the_yardstick_is_scored_as_it_fuses(call, folder, tmp_path):
    import cnn_baseline
    from safetensors.torch import save_file

    torch.manual_seed(1)
    save_file(cnn_baseline.ResidualCNN().state_dict(), tmp_path / "cnn.safetensors")
    words = [folder, "--methods", "exp", "--cnn", tmp_path / "cnn.safetensors"]
    status, _, data, _ = call(*words, "--only", "QB_*", "L8_*")
    assert status == 0
    rows = [row for row in data["rows"] if row["method"] == "cnn-baseline"]
    assert [(row["scene"], row["resolution"]) for row in rows] == [("QB_three", "reduced")]
    out = tmp_path / "fused.tif"
    pan, ms, gt = (str(folder / f"QB_three_{kind}.tif") for kind in ("pan", "ms", "gt"))
    cnn_baseline.fuse(tmp_path / "cnn.safetensors", pan, ms, str(out))
    job = AssessJob(*(RasterSource.of(p) for p in (str(out), pan, ms, gt)))
    assert rows[0]["scores"]["ergas"] == pytest.approx(run(job).scores["ergas"])


def test_adaptation_is_scored_on_one_scene_per_sensor(call, folder, monkeypatch):
    asked = []

    def without_adapting(job):
        if getattr(job, "adapt", 0):
            asked.append(job)
            job = replace(job, methods=("gsa",), adapt=0.0)
        return run(job)

    monkeypatch.setattr(evaluate, "run", without_adapting)
    status, page, data, _ = call(folder, "--methods", "exp", "--adapt", "2")
    assert status == 0 and "Adaptation has figures" in page
    assert [(job.methods, job.adapt) for job in asked] == [(("crossdiff",), 2.0)] * 2
    name = "crossdiff adapted for 2 minutes"
    found = [(r["scene"], r["resolution"]) for r in data["rows"] if r["method"] == name]
    assert found == [("GE1_one", "full"), ("L8_four", "full")]


def test_pictures_of_every_scene(call, folder, tmp_path):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    words = [
        folder,
        "--methods",
        "exp,gsa",
        "--resolution",
        "reduced",
        "--pictures",
        tmp_path / "p",
    ]
    status, _, _, _ = call(*words, "--shown", "QB_*", "--markdown", page)
    assert status == 0
    assert "![QB_three-reduced](images/benchmark/QB_three-reduced.png)" in page.read_text()
    shown, others = (sorted(p.name for p in d.iterdir()) for d in (
        page.parent / "images" / "benchmark", tmp_path / "p"
    ))  # fmt: skip
    assert shown == ["QB_three-reduced.png"]
    assert others == ["GE1_one-reduced.png", "GE1_two-reduced.png", "L8_four-reduced.png"]
    with Image.open(page.parent / "images" / "benchmark" / shown[0]) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape[1] == 5 * (32 * 3 + 6), "PAN, MS, truth and two methods"
    panels = [pixels[30:-10, n * 102 + 3 : n * 102 + 99] for n in range(5)]
    assert all(panel.std() > 10 for panel in panels)
    assert np.abs(panels[1].astype(int) - panels[3]).mean() < 2, "exp is the MS"


def test_full_resolution_of_some_scenes(call, folder):
    words = [folder, "--methods", "exp", "--only", "GE1_*", "--full", "*_two"]
    _, _, data, _ = call(*words)
    found = {(row["scene"], row["resolution"]) for row in data["rows"]}
    assert found == {("GE1_one", "reduced"), ("GE1_two", "reduced"), ("GE1_two", "full")}


def test_a_drawn_scene_is_no_sensor(call, folder, tmp_path):
    made = run(DemoJob(str(tmp_path / "demo"), size=128))
    for kind in ("pan", "ms", "gt"):
        Path(getattr(made, kind)).rename(tmp_path / f"drawn_{kind}.tif")
    words = [tmp_path / "drawn_pan.tif", folder, "--only", "drawn*", "QB_*", "GE1_one*"]
    _, _, data, _ = call(*words, "--methods", "exp", "--resolution", "reduced")
    titles = {table["group"]: table["scenes"] for table in data["tables"]}
    assert titles == {"A drawn scene": 1, GE1: 1, QB: 1, "All sensors": 2}


def test_where_models_lose_is_said():
    def line(method, scenes=1, **means):
        return evaluate.Line(method, scenes, 1.0, means, {}, dict.fromkeys(means, scenes))

    reduced = [line("exp", ergas=3.0, sam=2.0, q2n=0.8), line("gsa", ergas=2.0, sam=3.0, q2n=0.9)]
    mine = [line("mine", ergas=1.9, sam=2.5, q2n=0.85), line("cnn-baseline", ergas=9.0)]
    gsa = line("gsa", hqnr=0.9, d_rho=0.1)
    tables = [
        evaluate.Table("A", "reduced", 1, [*reduced, *mine]),
        evaluate.Table("A", "full", 1, [gsa, line("mine @10", hqnr=0.95, d_rho=0.05)]),
        evaluate.Table("B", "full", 1, [gsa, line("mine", hqnr=0.8, d_rho=0.2)]),
        # of two scenes mine fits one: another mean
        evaluate.Table("all", "full", 2, [line("gsa", 2, hqnr=1.0), line("mine", hqnr=0.8)]),
    ]
    assert evaluate.losses(tables, {"mine"}) == [
        "- mine, A, reduced resolution: sam 2.500 (exp 2.000), q2n 0.850 (gsa 0.900); "
        "no classical method has ergas and sam and q2n better",
        "- mine, B, full resolution: hqnr 0.800 (gsa 0.900), d_rho 0.200 (gsa 0.100)",
    ]


def test_an_earlier_run_is_gone_on_with(call, folder, model, monkeypatch):
    words = [folder, "--only", "QB_*", "--models", model, "--methods"]
    _, _, first, _ = call(*words, "exp")
    fused = []
    score = evaluate.score
    monkeypatch.setattr(evaluate, "score", lambda *w: fused.append(w[-1].name) or score(*w))
    _, _, again, _ = call(*words, "gsa,exp", "--resume")
    assert fused == ["gsa"]
    assert [row["method"] for row in again["rows"]] == ["gsa", "exp", "tiny"]
    assert again["rows"][1:] == first["rows"]
