"""Small archives of every kind, for the corpus of the target `archives`: archives.py FOLDER."""

import io
import pathlib
import sys
import tarfile
import zipfile

folder = pathlib.Path(sys.argv[1])
(folder / "archive-empty").write_bytes(b"\x01")
for number, form in enumerate([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]):
    for mode, kind in [("w", b"\x01"), ("w:gz", b"\x00")]:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode, format=form) as tar:
            for name, type_, link in [
                ("a", tarfile.REGTYPE, ""),
                ("d", tarfile.DIRTYPE, ""),
                ("d/" + "n" * 60 + "/" + "m" * 90, tarfile.REGTYPE, ""),
                ("d/link", tarfile.SYMTYPE, "../a"),
                ("hard", tarfile.LNKTYPE, "a"),
                ("out", tarfile.SYMTYPE, "../../b" if number else "b"),
            ]:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = type_, link
                content = b"content" if type_ == tarfile.REGTYPE else b""
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        (folder / f"archive-{number}{mode[1:2] and 'gz'}").write_bytes(kind + packed.getvalue())
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("a", "content")
    archive.writestr("d/b", "x" * 1000)
    archive.writestr("../c", "out")
(folder / "archive-zip").write_bytes(b"\x02" + packed.getvalue())
