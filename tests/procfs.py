"""A /proc with one process, for tests."""

from pathlib import Path

BOOT = "11111111-2222-3333-4444-555555555555"
NAMESPACE = "4026531836"


def proc_with(folder: Path, *, state: str = "S", session: int = 40) -> Path:
    """Make a /proc with process 42, its name with blanks and brackets, and environment `SEATRIAL_RUN=r1`."""
    (folder / "42").mkdir()
    (folder / "42/stat").write_text(f"42 (a) b) {state} 1 42 {session} 0 -1 " + "0 " * 11 + "1 0 500 0 0\n")
    (folder / "42/environ").write_bytes(b"A=b\0SEATRIAL_RUN=r1\0")
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "sys/kernel/random/boot_id").write_text(BOOT + "\n")
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to(f"pid:[{NAMESPACE}]")
    return folder
