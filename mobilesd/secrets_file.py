"""The installation's own secret key, made at the first start and kept in the data folder."""

import contextlib
import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

__all__ = ["secret_key"]


def secret_key(data_dir: Path) -> str:
    """Return the key in `secret_key`, making the file (mode 600) if there is none.

    Raises ImproperlyConfigured when the data folder can't be used.
    """
    try:
        return _read_or_make(data_dir, data_dir / "secret_key")
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {data_dir} can't be used: {error.strerror}. Correct its owner, or set"
            " MOBILESD_DATA_DIR to another folder, then start again."
        ) from error


def _read_or_make(data_dir: Path, file: Path) -> str:
    # Two processes may start at once: the file is linked into place whole, and the first one wins.
    with contextlib.suppress(FileNotFoundError):
        if key := file.read_text(encoding="ascii").strip():
            return key
    data_dir.mkdir(parents=True, exist_ok=True)
    temporary = data_dir / f".secret_key.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(64))
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(temporary, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not file.exists():
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return file.read_text(encoding="ascii").strip()
