import numpy as np

from ntkjax.checkpoints.mask import MaskFacts
from ntkjax.checkpoints.parameter_scores import write_parameter_scores
from ntkjax.cli.main import main


def test_says_what_it_kept(tmp_path, capsys):
    arrays = {"score/a": np.arange(20.0), "theta/a": np.zeros(20)}
    facts = MaskFacts("model", None, "start")
    write_parameter_scores(tmp_path / "parameters.safetensors", arrays, facts)
    flags = ["mask", "--scores", str(tmp_path), "--out", str(tmp_path / "m")]
    assert main([*flags, "--mask.share", "0.25"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "kept: 5 of 20 parameters (25.00%)"
    assert (tmp_path / "m").exists()
    assert main(flags) == 2
    assert "--mask.share or --mask.budget: give one" in capsys.readouterr().err
    assert main([*flags[:3], "--out", f"{tmp_path}/no/m", "--mask.share", "1"]) == 2
    assert "cannot be written" in capsys.readouterr().err
