from ntkjax.store.outputs import damaged_outputs, output_hashes, remove_outputs


def test_files_and_folders_by_their_hashes(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"x")
    (tmp_path / "a" / ".y.1-2.partial").write_bytes(b"of a kill")
    (tmp_path / "z").write_bytes(b"")
    hashes = output_hashes(tmp_path, ["a", "z", "absent"])
    assert list(hashes) == ["a/b/x", "z"]
    assert hashes["z"].startswith("e3b0c442")  # SHA-256 of nothing
    assert damaged_outputs(tmp_path, hashes) == []

    (tmp_path / "a" / "b" / "x").write_bytes(b"X")
    (tmp_path / "z").unlink()
    assert damaged_outputs(tmp_path, hashes) == ["a/b/x", "z"]


def test_what_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/x", "a/y", "kept", "z"):
        (tmp_path / name).write_bytes(b"")
    remove_outputs(tmp_path, ["a/x", "z", "absent"])
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
