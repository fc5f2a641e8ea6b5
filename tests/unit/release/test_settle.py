import os
import subprocess
import sys
from pathlib import Path

from headrace_release import settle


def site_packages_of(folder: Path) -> Path:
    path = folder / "lib" / "python3.11" / "site-packages"
    path.mkdir(parents=True)
    return path


def write(file: Path, text: str = "x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_what_is_never_read_is_deleted_and_the_rest_is_kept(tmp_path: Path) -> None:
    packages = site_packages_of(tmp_path)
    gone = [
        "torch/include/a.h",
        "nvidia/nccl/include/nccl.h",
        "scipy/sparse/tests/test_a.py",
        "nvidia/cu13/lib/libcusolverMg.so.12",
    ]
    kept = [
        "torch/bin/torch_shm_manager",
        "torch/lib/libtorch.so",
        "nvidia/cu13/lib/libcusolver.so.12",
        "numpy/testing/__init__.py",
    ]
    for name in (*gone, *kept):
        write(packages / name)
    settle.main(tmp_path)
    assert [name for name in gone if (packages / name).exists()] == []
    assert [name for name in kept if not (packages / name).exists()] == []


def test_a_link_to_a_folder_goes_without_what_it_points_to(tmp_path: Path) -> None:
    packages = site_packages_of(tmp_path / "venv")
    headers = write(tmp_path / "elsewhere" / "a.h")
    (packages / "torch").mkdir()
    (packages / "torch" / "include").symlink_to(headers.parent)
    settle.main(tmp_path / "venv")
    assert headers.exists()
    assert not (packages / "torch" / "include").is_symlink()


def test_twice_the_same_files_are_twice_the_same_bytes_and_times(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "b"):
        write(tmp_path / name / "root" / "module.py", "value = 1\n")
        # Both builds use the same place, because a compiled module names its file.
        (tmp_path / "place").symlink_to(tmp_path / name)
        settle.main(tmp_path / "place" / "root")
        (tmp_path / "place").unlink()
        files = sorted(settle.everything(tmp_path / name / "root"))
        relative = [str(file.relative_to(tmp_path / name)) for file in files]
        seen.append((relative, [file.stat().st_mtime for file in files], [file.read_bytes() for file in files if file.is_file()]))
    assert seen[0] == seen[1]
    assert len(seen[0][2]) == 2, "the module and its compiled form"


def test_a_compiled_module_is_used_although_its_source_has_another_time(tmp_path: Path) -> None:
    module = write(tmp_path / "module.py", "value = 'compiled'\n")
    settle.main(tmp_path)
    module.write_text("value = 'source'\n")
    command = [sys.executable, "-B", "-c", "import module; print(module.value)"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "compiled\n"


def test_a_file_that_is_not_python_does_no_harm(tmp_path: Path) -> None:
    broken, sound = write(tmp_path / "broken.py", "def ("), write(tmp_path / "sound.py", "value = 1\n")
    settle.main(tmp_path)
    assert not compiled(broken).exists()
    assert compiled(sound).exists()


def compiled(file: Path) -> Path:
    return file.parent / "__pycache__" / f"{file.stem}.{sys.implementation.cache_tag}.pyc"


def test_a_library_without_compiled_modules_gets_them_and_nothing_else(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "b"):
        library = tmp_path / name / "library"
        for module in ("json/decoder.py", "ast.py", "test/test_ast.py", "site-packages/other.py"):
            write(library / module, "value = 1\n")
        os.utime(library / "ast.py", (1000 + len(seen), 1000 + len(seen)))
        (tmp_path / "place").symlink_to(tmp_path / name)
        settle.compile_library(tmp_path / "place" / "library")
        (tmp_path / "place").unlink()
        assert (library / "ast.py").stat().st_mtime == 1000 + len(seen)
        compiled = sorted(file for file in settle.everything(library) if file.suffix == ".pyc")
        seen.append([(str(file.relative_to(library)), file.read_bytes(), file.stat().st_mtime) for file in compiled])
    assert [name.partition(".cpython")[0] for name, _, _ in seen[0]] == ["__pycache__/ast", "json/__pycache__/decoder"]
    assert seen[0] == seen[1]


def test_a_library_that_is_compiled_is_left_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "ast.py", "value = 1\n")
    write(tmp_path / "new.py", "value = 1\n")
    (tmp_path / "__pycache__").mkdir()
    settle.compile_library(tmp_path)
    assert list((tmp_path / "__pycache__").iterdir()) == []
