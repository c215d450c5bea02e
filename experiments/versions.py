"""The registry's versions: found, tagged, described, and borne by aliases; one door to MLflow.

A version says by its tag `files` which files it was registered with, by their SHA-256, and by
`attached` which were laid beside them later. None of them is parsed before its hash is checked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import hashes, locks
from experiments.errors import UserError
from experiments.paths import ROOT, STORE
from experiments.tracking import address, connect, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
FILES, ATTACHED = "files", "attached"  # the tags with the files' hashes
ABOUT = "MLmodel"  # the file that says what else there is
READ_NOTE = "registered_model_meta"  # MLflow writes it whenever it reads a version's files
MOST_BYTES = 500_000_000  # of a file that is read
MOST = 1000  # versions of a model, and models, that are listed


@dataclass(frozen=True)
class Version:
    """One registered version: `name` and `number`, its tags, and what was stored with it.

    Attributes:
        model: MLflow's name for what it holds.
        created: seconds since 1970.
        aliases: that point at it.
        description: Markdown.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    metadata: Mapping[str, Any]
    model: str = ""
    created: float = 0
    aliases: tuple[str, ...] = ()
    description: str = field(default="", repr=False)

    @property
    def uri(self) -> str:
        """Return models:/NAME/NUMBER."""
        return f"models:/{self.name}/{self.number}"

    @property
    def files(self) -> dict[str, str]:
        """Return path -> SHA-256 of what it was registered with; empty if it has no hashes."""
        return _hashes_in(self.tags, FILES)

    @property
    def attached(self) -> dict[str, str]:
        """Return path -> SHA-256 of what was laid beside it later."""
        return _hashes_in(self.tags, ATTACHED)

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


def _hashes_in(tags: Mapping[str, str], name: str) -> dict[str, str]:
    try:
        known = json.loads(tags.get(name, "{}"))
    except ValueError:  # another program's tag of that name
        return {}
    return known if isinstance(known, dict) else {}


@contextmanager
def registry() -> Iterator[MlflowClient]:
    """Yield MLflow's client; what the registry refuses in the context becomes a sentence.

    Raises:
        UserError: it cannot be read or written.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield connect()
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(f"The registry at {address()} fails: {first_line(error)}") from error


def find(uri: str, how_to_make: str = "") -> Version:
    """Return the registered version that `uri` names: models:/NAME@ALIAS or models:/NAME/NUMBER.

    Args:
        how_to_make: a command that would make such a version; part of the message if there is none.

    Raises:
        UserError: no such version; the message lists what there is, or how to make it. Or it was
            registered by another program. Or the registry or the version's files cannot be read,
            or are not what was registered.
    """
    found = find_if_any(uri)
    advice = f" Make one with: {how_to_make}" if how_to_make else ""
    if found is not None and found.files:
        return found
    if found is not None:
        raise UserError(
            f"{found} was registered without the hashes of its files, by another program or an "
            f"earlier state of this one, so it is not opened.{advice}"
        )
    name, _, _ = _parse(uri)
    if _no_store():
        raise UserError(f"There is no model {name!r} yet: nothing is registered in {ROOT}.{advice}")
    raise UserError(f"There is no {uri}. {_listing(name)}{advice}")


def find_if_any(uri: str) -> Version | None:
    """Return the registered version that `uri` names, or None if the registry has no such.

    Raises:
        UserError: the registry, or the files of a version that it has, cannot be read.
    """
    name, mark, which = _parse(uri)
    if _no_store():
        return None
    from mlflow.exceptions import MlflowException

    with registry() as client:
        get = client.get_model_version_by_alias if mark == "@" else client.get_model_version
        try:
            found = get(name, which)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
    return _complete(found)


def all_of(name: str) -> list[Version]:
    """Return all versions of a registered model, as far as they can be read; the oldest first."""
    if _no_store():
        return []
    with registry() as client:
        found = client.search_model_versions(f"name = '{name}'", max_results=MOST)
        numbers = sorted(int(version.version) for version in found)
        whole = [client.get_model_version(name, str(number)) for number in numbers]  # with aliases
    return [_complete(version, strict=False) for version in whole]


def names() -> list[str]:
    """Return the names of all registered models."""
    if _no_store():
        return []
    with registry() as client:
        return [model.name for model in client.search_registered_models(max_results=MOST)]


def _complete(found: Any, strict: bool = True) -> Version:
    """Return MLflow's version with what its files say of it.

    Args:
        strict: raise if they cannot be read, or are not what was registered.
    """
    version = Version(
        name=found.name,
        number=int(found.version),
        run_id=found.run_id or "",
        tags=dict(found.tags),
        metadata={},
        model=found.source.removeprefix("models:/"),
        created=found.creation_timestamp / 1000,
        aliases=tuple(found.aliases),
        description=found.description or "",
    )
    if not version.files:  # of another maker: what it says of itself is not believed
        return version
    try:
        return Version(**{**vars(version), "metadata": _metadata(version)})
    except UserError:
        if strict:
            raise
        return version


def _metadata(version: Version) -> Mapping[str, Any]:
    import yaml

    return yaml.safe_load(read(version, ABOUT)).get("metadata") or {}


def read(version: Version, path: str) -> bytes:
    """Return one of the version's files, which is what was registered.

    Raises:
        UserError: the version has no such file, or it is too large, or another than registered.
    """
    expected = (version.files | version.attached).get(path)
    if expected is None:
        raise UserError(
            f"{version} was registered without {path}, or by another program, so it is not opened; "
            f"expected one that this project's train or export has registered."
        )
    import mlflow

    with telling(f"{version} is registered, but its files cannot be read"):
        found = Path(mlflow.artifacts.download_artifacts(f"{version.uri}/{path}"))
        if (size := found.stat().st_size) > MOST_BYTES:
            raise UserError(f"{version}: {path} has {size} bytes, expected at most {MOST_BYTES}.")
        raw = found.read_bytes()
    if hashes.of_bytes(raw) != expected:
        raise UserError(
            f"{version}: its file {path} is not the one that was registered, so it is not opened; "
            f"see python -m experiments.registry verify {version.name}, or go back: python -m "
            f"experiments.registry rollback {version.name}"
        )
    return raw


def folder(version: Version) -> Path:
    """Return the folder of a version's files as they are now, whatever they are.

    Raises:
        UserError: they cannot be had.
    """
    import mlflow

    with telling(f"{version} is registered, but its files cannot be read"):
        return Path(mlflow.artifacts.download_artifacts(version.uri))


def hashed(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of a version's files, but for MLflow's own note of where it read."""
    return {path: sha for path, sha in hashes.of_folder(folder).items() if path != READ_NOTE}


def changes(version: Version) -> list[str]:
    """Return, in a few words each, which files are not what was registered or laid beside."""
    return _changes(version, version.files | version.attached, set())


def damages(version: Version) -> list[str]:
    """Return the changes of what the version was registered with, which spoil it."""
    return _changes(version, version.files, version.attached.keys() - version.files.keys())


def _changes(version: Version, known: Mapping[str, str], but: Set[str]) -> list[str]:
    """Return how the version's files, `but` for these, differ from those that are `known`."""
    if not version.files:
        return ["registered without hashes, by another program or an earlier state of this one"]
    try:
        found = hashed(folder(version))
    except UserError as error:
        return [str(error)]
    return list(hashes.changes(known, {path: found[path] for path in found.keys() - but}))


def registered_by(run_id: str, name: str) -> Version | None:
    """Return the version of `name` that a run has registered, or None if it has not."""
    with registry() as client:
        found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return find(f"models:/{name}/{found[0].version}") if found else None


def bearer(name: str, alias: str = CHAMPION) -> Version | None:
    """Return the version of `name` that bears the alias, or None if none does."""
    return find_if_any(f"models:/{name}@{alias}")


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turn MLflow's refusal to read a version's files into a sentence that begins with `what`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise UserError(f"{what}: {error}") from error


def lock() -> locks.Lock:
    """Return the lock under which aliases, records and hashes change."""
    return locks.of_store(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE}", "registry")


def tag(model: Version, values: Mapping[str, object]) -> None:
    """Set tags on a registered version."""
    with registry() as client:
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            client.set_model_version_tag(model.name, str(model.number), name, text)


def describe(model: Version, text: str) -> None:
    """Set what the registry says of a version."""
    with registry() as client:
        client.update_model_version(model.name, str(model.number), text)


def attach(model: Version, path: Path) -> None:
    """Lay a copy of the file at `path` beside the version's model, and note its hash."""
    with lock()(), registry() as client:
        tags = client.get_model_version(model.name, str(model.number)).tags
        tag(model, {ATTACHED: _hashes_in(tags, ATTACHED) | {path.name: hashes.of_file(path)}})
        client.log_model_artifact(model.model, str(path))


def set_alias(name: str, alias: str, number: int | None) -> None:
    """Let the alias point at a version, or at none."""
    with registry() as client:
        if number is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, str(number))


def aliases(name: str) -> dict[str, int]:
    """Return alias -> number of the version that bears it."""
    with registry() as client:
        found = client.get_registered_model(name).aliases
    return {alias: int(number) for alias, number in found.items()}


def notes(name: str) -> dict[str, str]:
    """Return the tags of the registered model itself."""
    with registry() as client:
        return dict(client.get_registered_model(name).tags)


def note(name: str, key: str, text: str) -> None:
    """Set a tag on the registered model itself."""
    with registry() as client:
        client.set_registered_model_tag(name, key, text)


def _no_store() -> bool:
    return not os.environ.get("MLFLOW_TRACKING_URI") and not STORE.is_file()


def _parse(uri: str) -> tuple[str, str, str]:
    rest = uri.removeprefix("models:/")
    mark = "@" if "@" in rest else "/"
    name, _, which = rest.partition(mark)
    if rest == uri or not name or not which:
        raise UserError(
            f"model: expected models:/NAME@ALIAS or models:/NAME/NUMBER, found {uri!r}."
        )
    return name, mark, which


def _listing(name: str) -> str:
    if name not in names():
        return f"Registered models: {', '.join(names()) or 'none'}."
    numbers = [str(version.number) for version in all_of(name)]
    has = [*(f"@{alias}" for alias in aliases(name)), *numbers]
    return f"{name} has {', '.join(has) or 'no version'}."
