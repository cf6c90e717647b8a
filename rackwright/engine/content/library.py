"""Where content comes from: layered directories laid over ours file by file, the later one wins.

A library reads every file once and keeps its bytes, so that what was hashed is what is used. A
file's hash is over its path, its mode (755 or 644: only the execute bit counts) and its bytes.
Symbolic links may not leave their root.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import rackwright
from rackwright.engine.content import argument_specs
from rackwright.engine.content.errors import ContentError, Mark, Problems, near
from rackwright.engine.content.role import RoleSpec, parse_role
from rackwright.engine.content.workflow import WorkflowSpec, parse_workflow
from rackwright.engine.content.yaml_source import parse
from rackwright.engine.errors import OperatorError

SECTIONS = ("roles", "workflows")
_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Root:
    """One layer. ``label`` is what a plan says the file came from; never an absolute path."""

    path: Path
    label: str
    shown: str  # what precedes a file's path in messages


@dataclass(frozen=True, slots=True)
class ContentFile:
    path: str  # below the root, "roles/os/image/role.yaml"
    shown: str  # for messages
    origin: str
    mode: int
    data: bytes
    sha256: str

    @property
    def stamp(self) -> str:
        """What a plan records: ``<origin>:<sha256>``."""
        return f"{self.origin}:{self.sha256}"


def packaged_root() -> Root:
    """The content that ships with the product."""
    return Root(Path(rackwright.__file__).parent, "rackwright", "rackwright")


def content_sha256(path: str, mode: int, data: bytes) -> str:
    head = f"{path}\0{mode:o}\0{len(data)}\0".encode()
    return hashlib.sha256(head + data).hexdigest()


class Library:
    """Roles and workflows of the given directories, lowest layer first."""

    def __init__(self, roots: Sequence[Path | Root]) -> None:
        self._roots = tuple(_labelled(roots))
        self._index: dict[str, Root] = {}
        self._files: dict[str, ContentFile] = {}
        self._roles: dict[str, RoleSpec] = {}
        for root in self._roots:
            self._index.update((path, root) for path in _paths(root.path))
        self._paths = tuple(sorted(self._index))

    @classmethod
    def over_packaged(cls, directories: Sequence[Path] = ()) -> "Library":
        """``directories`` laid over our own content; the last one wins."""
        return cls((packaged_root(), *directories))

    def role_names(self) -> tuple[str, ...]:
        """Every folder below roles/ with a role.yaml."""
        found = (p for p in self._index if p.startswith("roles/") and p.endswith("/role.yaml"))
        return tuple(sorted(p[len("roles/") : -len("/role.yaml")] for p in found))

    def workflow_names(self) -> tuple[str, ...]:
        found = (PurePosixPath(p) for p in self._index if p.startswith("workflows/"))
        return tuple(sorted(p.stem for p in found if p.suffix == ".yaml" and len(p.parts) == 2))

    def role(self, name: str, used_at: Mark | None = None) -> RoleSpec:
        """Raises ContentError at ``used_at`` if there is none, ContentErrors if it is wrong."""
        if name not in self._roles:
            path = f"roles/{name}/role.yaml"
            if path not in self._index:
                hint = near(name, self.role_names()) or "no content directory has any role"
                raise ContentError(
                    used_at or Mark(path, 1, 1), f"there is no role '{name[:80]}'", hint=hint
                )
            file = self.file(path)
            self._roles[name] = self._with_params(parse_role(name, file.data, file.shown))
        return self._roles[name]

    def _with_params(self, role: RoleSpec) -> RoleSpec:
        """An Ansible role may say its params in its own way, instead of in role.yaml."""
        path = f"roles/{role.name}/{argument_specs.PATH}"
        is_ansible = any(stage.executor == "ansible" for stage in role.stages.values())
        if role.params is not None or not is_ansible or not self.has(path):
            return role
        file, problems = self.file(path), Problems()
        params = argument_specs.params_of(parse(file.data, file.shown), problems)
        problems.check()
        return replace(role, params=params)

    def workflow(self, name: str, used_at: Mark | None = None) -> WorkflowSpec:
        path = f"workflows/{name}.yaml"
        if path not in self._index:
            hint = near(name, self.workflow_names()) or "no content directory has any workflow"
            message = f"there is no workflow '{name[:80]}'"
            if used_at is None:
                raise OperatorError(message, hint=hint)
            raise ContentError(used_at, message, hint=hint)
        file = self.file(path)
        return parse_workflow(name, file.data, file.shown)

    def file(self, path: str) -> ContentFile:
        """A file by its path below the roots. Raises OperatorError if it cannot be read."""
        if path not in self._files:
            self._files[path] = self._read(path)
        return self._files[path]

    def has(self, path: str) -> bool:
        return path in self._index

    def role_files(self, role: str) -> tuple[ContentFile, ...]:
        """Everything in a role's folder, by path."""
        prefix = f"roles/{role}/"
        return tuple(self.file(p) for p in self._paths if p.startswith(prefix))

    def variants(self, role: str, script: str) -> Mapping[str, str]:
        """A script and its family variants: ``{"": "apply.sh", "debian": "apply@debian.sh"}``."""
        pure = PurePosixPath(script)
        found = {"": script} if self.has(f"roles/{role}/{script}") else {}
        start = f"roles/{role}/{pure.with_suffix('')}@"
        for path in self._paths:
            if path.startswith(start) and path.endswith(pure.suffix):
                family = path[len(start) : len(path) - len(pure.suffix)]
                found[family] = path[len(f"roles/{role}/") :]
        return found

    def freeze(self, destination: Path, content: Mapping[str, str]) -> None:
        """Copy the files of a plan (path -> stamp) below ``destination``, each by its hash.

        Raises OperatorError if a file no longer has the hash that the plan was made with.
        ``Library([Root(destination, ...)])`` then reads the copy.
        """
        for path, stamp in sorted(content.items()):
            file = self.file(path) if self.has(path) else None
            if file is None or file.sha256 != stamp.rpartition(":")[2]:
                raise OperatorError(
                    f"{path} is no longer what the plan was made from", hint="make a new plan"
                )
            target = destination / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(file.mode)

    def _read(self, path: str) -> ContentFile:
        root = self._index.get(path)
        if root is None:
            raise OperatorError(f"there is no content file {path}")
        full = root.path / path
        shown = str(PurePosixPath(root.shown) / path)
        try:
            if not full.resolve().is_relative_to(root.path.resolve()):
                raise OperatorError(
                    f"{shown} is a link out of its content directory", hint="copy the file there"
                )
            status = full.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE_BYTES:
                raise OperatorError(
                    f"{shown} is not a regular file of at most {_MAX_FILE_BYTES} bytes",
                    hint="large files are artifacts",
                )
            data = full.read_bytes()
        except OSError as error:
            raise OperatorError(
                f"{shown} cannot be read: {error.strerror}",
                hint="it is a link that leads nowhere" if full.is_symlink() else "",
            ) from error
        except RuntimeError as error:  # what Path.resolve raises for a loop, before Python 3.13
            raise OperatorError(
                f"{shown} is a link that leads back to itself", hint="put the file there"
            ) from error
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        return ContentFile(path, shown, root.label, mode, data, content_sha256(path, mode, data))


def _labelled(roots: Sequence[Path | Root]) -> Iterator[Root]:
    seen: dict[str, int] = {}
    for given in roots:
        if isinstance(given, Path) and not given.is_dir():
            problem = "is not a directory" if given.exists() else "does not exist"
            raise OperatorError(f"the content directory {given} {problem}")
        root = given if isinstance(given, Root) else Root(given, given.resolve().name, str(given))
        seen[root.label] = count = seen.get(root.label, 0) + 1
        yield root if count == 1 else Root(root.path, f"{root.label}-{count}", root.shown)


def _paths(root: Path) -> Iterator[str]:
    for section in SECTIONS:
        for path in sorted((root / section).rglob("*")):
            relative = path.relative_to(root)
            if any(part.startswith((".", "__")) for part in relative.parts) or path.is_dir():
                continue
            if path.suffix not in (".pyc", ".orig", ".rej") and not path.name.endswith("~"):
                yield relative.as_posix()
