"""Registered versions: find, list, read, tag and describe them, and set their aliases.

The tag `files` of a version has the SHA-256 of each file it was registered with, the tag `attached`
that of files added later. No file is parsed before its hash is checked. mlflow is imported inside
functions: it takes two seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from experiments.core import files, locks, paths, store_address
from experiments.core.errors import UserError
from experiments.core.files import FileChange
from experiments.registry.metadata import VersionMetadata, texts
from experiments.tracking import runs, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
FILES, ATTACHED = "files", "attached"  # the tags with the files' hashes
MLMODEL = "MLmodel"  # the file with the model's metadata
# MLflow writes this file into the folder of a registered version whenever it downloads from it.
REGISTERED_MODEL_META = "registered_model_meta"
MAX_FILES = 1000  # versions of a model, and models, that are listed
HOW_TO_LIST = "python -m experiments.registry list"
HOW_TO_RECOVER = (
    "See python -m experiments.registry verify {name}, or go back with: "
    "python -m experiments.registry rollback {name}"
)


@dataclass(frozen=True)
class Version:
    """One registered version of a model.

    Attributes:
        metadata: as stored with it, see registry/metadata.py; empty if they cannot be read.
        model: MLflow's id of the logged model.
        created: seconds since 1970.
        aliases: that point to it.
        description: Markdown.
    """

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    metadata: VersionMetadata
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
        """Return path -> SHA-256 of the registered files; empty if there are no hashes."""
        return _hashes(self.tags, FILES)

    @property
    def attached(self) -> dict[str, str]:
        """Return path -> SHA-256 of the files that were added later."""
        return _hashes(self.tags, ATTACHED)

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


def _hashes(tags: Mapping[str, str], name: str) -> dict[str, str]:
    try:
        hashes = json.loads(tags.get(name, "{}"))
    except ValueError:  # another program's tag of that name
        return {}
    return hashes if isinstance(hashes, dict) else {}


@contextmanager
def registry() -> Iterator[MlflowClient]:
    """Yield MLflow's client.

    Raises:
        UserError: storage-unreachable, the registry cannot be read or written.
    """
    with runs.wrap_store_errors():
        yield store.connect()


def find(uri: str, how_to_make: str = "") -> Version:
    """Return the registered version of models:/NAME@ALIAS or models:/NAME/NUMBER.

    Args:
        how_to_make: a command that creates such a version, for the error message.

    Raises:
        UserError: registry-empty, model-unknown or version-unknown; hashes-missing, another
            program registered it; or its files cannot be read or were changed.
    """
    fix = f"Make one with: {how_to_make}" if how_to_make else f"List all with: {HOW_TO_LIST}"
    version = find_if_any(uri)
    if version is None:
        name, _, which = _parse(uri)
        check_name(name, fix)
        if which == CHAMPION and (listed := all_of(name)):
            raise _no_champion(listed[-1])
        raise UserError("version-unknown", uri, _listing(name), repr(which), fix)
    if not version.files:
        expected = "a version with the hashes of its files, as this project registers it"
        raise UserError("hashes-missing", version, expected, "another program's version", fix)
    return version


def _no_champion(last: Version) -> UserError:
    why = last.tags.get("promotion_reason", "never compared")
    fix = f"Train a better one, or name a version: {last.uri}."
    return UserError(
        "champion-missing", f"model {last.name}", "a champion", f"none; {last}: {why}", fix
    )


def check_name(name: str | None, fix: str) -> None:
    """Raise UserError: registry-empty, or model-unknown if no model of that name is registered."""
    registered = names()
    if not registered:
        expected = f"a model {name}" if name else "a model"
        raise UserError("registry-empty", f"registry at {store.address()}", expected, "none", fix)
    if name and name not in registered:
        found = f"none yet, only {', '.join(registered)}"
        raise UserError("model-unknown", f"model {name}", "one that is registered", found, fix)


def find_if_any(uri: str) -> Version | None:
    """Return the registered version of `uri`, or None if there is none.

    Raises:
        UserError: the registry, or the files of the version, cannot be read.
    """
    name, separator, which = _parse(uri)
    if _no_store():
        return None
    from mlflow.exceptions import MlflowException

    with registry() as client:
        try:
            if separator == "@":
                entry = client.get_model_version_by_alias(name, which)
            else:
                entry = client.get_model_version(name, which)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
    return _with_metadata(_version(entry))


def get_by_alias(name: str, alias: str = CHAMPION) -> Version | None:
    """Return the version of `name` that the alias points to, or None."""
    return find_if_any(f"models:/{name}@{alias}")


def registered_by(run_id: str, name: str) -> Version | None:
    """Return the version of `name` that a run has registered, or None."""
    with registry() as client:
        entries = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return find(f"models:/{name}/{entries[0].version}") if entries else None


def all_of(name: str) -> list[Version]:
    """Return all versions of a model, the oldest first; without metadata if unreadable."""
    if _no_store():
        return []
    with registry() as client:
        listed = client.search_model_versions(f"name = '{name}'", max_results=MAX_FILES)
        numbers = sorted(int(entry.version) for entry in listed)
        entries = [client.get_model_version(name, str(n)) for n in numbers]  # with their aliases
    versions = []
    for version in map(_version, entries):
        try:
            versions.append(_with_metadata(version))
        except UserError:
            versions.append(version)
    return versions


def names() -> list[str]:
    """Return the names of all registered models."""
    if _no_store():
        return []
    with registry() as client:
        return [model.name for model in client.search_registered_models(max_results=MAX_FILES)]


def _version(entry: ModelVersion) -> Version:
    """Return MLflow's entry as a version without metadata: no file is read."""
    return Version(
        name=entry.name,
        number=int(entry.version),
        run_id=entry.run_id or "",
        tags=dict(entry.tags),
        metadata={},
        model=entry.source.removeprefix("models:/"),
        created=entry.creation_timestamp / 1000,
        aliases=tuple(entry.aliases),
        description=entry.description or "",
    )


def _with_metadata(version: Version) -> Version:
    """Return the version with its metadata, if it has hashes to check them by."""
    if not version.files:
        return version
    return replace(version, metadata=yaml.safe_load(read(version, MLMODEL)).get("metadata") or {})


def read(version: Version, path: str) -> bytes:
    """Return one of the version's files, after its hash is checked.

    Raises:
        UserError: file-unregistered, the version has no such file; model-corrupt, the file was
            changed; or model-unreadable.
    """
    expected = (version.files | version.attached).get(path)
    if expected is None:
        raise UserError(
            "file-unregistered",
            str(version),
            expected=f"the file {path}, registered with its hash",
            found="none of that name",
            fix="Take a version that this project's train or export has registered.",
        )
    raw = folder(version, path).read_bytes()
    if (actual := files.sha256_bytes(raw)) != expected:
        raise UserError(
            "model-corrupt",
            f"{path} of {version}",
            expected=f"the file that was registered, SHA-256 {expected}",
            found=actual,
            fix=HOW_TO_RECOVER.format(name=version.name),
        )
    return raw


def folder(version: Version, path: str = "") -> Path:
    """Return the local folder of a version's files, or one of them, unchecked.

    Raises:
        UserError: model-unreadable.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(f"{version.uri}/{path}".rstrip("/")))
    except (MlflowException, OSError) as error:
        raise UserError(
            "model-unreadable",
            f"files of {version}",
            expected="what was registered",
            found=runs.first_line(error),
            fix=f"Restore them. {HOW_TO_RECOVER.format(name=version.name)}",
        ) from error


def hashed(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of a version's files."""
    hashes = files.sha256_folder(folder)
    hashes.pop(REGISTERED_MODEL_META, None)
    return hashes


def log_changes(version: Version) -> list[FileChange]:
    """Return how the version's files differ from their hashes."""
    if not version.files:
        return [FileChange("unhashed")]
    try:
        actual = hashed(folder(version))
    except UserError as error:
        return [FileChange("unreadable", why=str(error))]
    return list(files.compare(version.files | version.attached, actual))


def modified_files(version: Version) -> list[FileChange]:
    """Return the changes that spoil the version: of all but the files that were added later."""
    added = version.attached.keys() - version.files.keys()
    return [change for change in log_changes(version) if change.path not in added]


def check_unmodified(version: Version) -> None:
    """Raise UserError, model-corrupt, if the version's files were changed."""
    if changes := modified_files(version):
        raise UserError(
            "model-corrupt",
            str(version),
            expected="the files that were registered, of a champion",
            found="; ".join(map(str, changes)),
            fix=f"Restore them; python -m experiments.registry verify {version.name} lists all.",
        )


def lock() -> locks.Lock:
    """Return the lock under which aliases, their log and hashes change."""
    return locks.of_store(paths.tracking_uri(), "registry")


def tag(version: Version, tags: Mapping[str, object]) -> None:
    """Set tags on a registered version."""
    with registry() as client:
        for name, text in texts(tags).items():
            client.set_model_version_tag(version.name, str(version.number), name, text)


def describe(version: Version, text: str) -> None:
    """Set a version's description."""
    with registry() as client:
        client.update_model_version(version.name, str(version.number), text)


def add_artifact(version: Version, path: Path) -> None:
    """Add a copy of the file at `path` to the version's model, and its hash to the tags."""
    with lock()(), registry() as client:
        tags = client.get_model_version(version.name, str(version.number)).tags
        hashes = _hashes(tags, ATTACHED) | {path.name: files.sha256_file(path)}
        tag(version, {ATTACHED: hashes})
        client.log_model_artifact(version.model, str(path))


def set_alias(name: str, alias: str, number: int | None) -> None:
    """Point the alias at a version, or delete it."""
    with registry() as client:
        if number is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, str(number))


def aliases(name: str) -> dict[str, int]:
    """Return alias -> number of its version."""
    with registry() as client:
        numbers = client.get_registered_model(name).aliases
    return {alias: int(number) for alias, number in numbers.items()}


def _no_store() -> bool:
    """Return whether the store is a missing file: looking for a version does not create it."""
    file = store_address.store_file(paths.tracking_uri())
    return file is not None and not file.is_file()


def _parse(uri: str) -> tuple[str, str, str]:
    """Return name, separator ("@" or "/") and alias or number."""
    rest = uri.removeprefix("models:/")
    separator = "@" if "@" in rest else "/"
    name, _, which = rest.partition(separator)
    if rest == uri or not name or not which:
        raise UserError(
            "uri-invalid",
            "model",
            expected="models:/NAME@ALIAS or models:/NAME/NUMBER",
            found=repr(uri),
            fix="Pass one like models:/mnist@champion.",
        )
    return name, separator, which


def _listing(name: str) -> str:
    """Return, for an error message, which versions of a model there are."""
    numbers = [str(version.number) for version in all_of(name)]
    if not numbers:
        return f"a version, but {name} has none"
    named = [f"@{alias}" for alias in aliases(name)]
    return f"one of {name}'s {', '.join([*named, *numbers])}"
