#!/usr/bin/env python3
"""Rules of this tree that a compiler does not hold.

    lint.py [--format CLANG_FORMAT] ROOT

Prints one line per finding, "path:line: what is wrong and what to do", and exits 1 if there is any. Only files that
git tracks are read, so that half-written ones disturb nobody. lint_test.py holds a negative control for every rule.
"""

import argparse
import fnmatch
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

CPP = (".cc", ".h", ".inc", ".cu", ".cuh")
SOURCE = CPP + (".c", ".cl", ".py", ".sh", ".cmake", ".proto", ".js", ".html", ".css")
MAX_LINES = 800
MAX_BYTES = 6_000_000

# Who may include whom: each folder sees itself, common/, and those named here.
MAY_INCLUDE = {
    "common": set(),
    "kernels": set(),
    "model": {"kernels"},
    "partition": {"model", "kernels"},
    "training": {"model", "kernels"},
    "wire": {"model", "kernels"},
    "worker": {"wire", "training", "partition", "model", "kernels"},
    "coordinator": {"wire", "training", "partition", "model", "kernels"},
    "bench": {"wire", "training", "partition", "model", "kernels"},
    "cli": {"coordinator", "worker", "bench", "wire", "training", "partition", "model", "kernels"},
}
# Backends are held against kernels/reference, so none may be built from another.
BACKENDS = ("kernels/reference", "kernels/cpu", "kernels/opencl", "kernels/cuda")
# Outside libraries that only some folders may see: pattern of the include, folders.
CONFINED = (
    (r"grpc(pp|)/|.*\.pb\.h", ("wire/grpc", "coordinator/api", "cli")),
    (r"CL/", ("kernels/opencl",)),
    (r"cuda|cublas|nvrtc", ("kernels/cuda",)),
    (r"prometheus/", ("common",)),
)
# Programs of other people's, as the documents show them.
CLIENTS = "docs/clients"
PATH_ENDINGS = (".md", ".json", ".txt", ".yml", ".yaml", ".toml", ".gguf", ".f32") + SOURCE
# Not in the tree: what the build makes, and what lies beside the tree.
OUTSIDE = ("build/", "../")


class Tree:
    """The tracked files under a root, and their text."""

    def __init__(self, root, files):
        self.root = root
        self.files = sorted(files)
        self.folders = {""}
        for path in self.files:
            while "/" in path:
                path = path.rsplit("/", 1)[0]
                self.folders.add(path)

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def exists(self, path):
        return path in self.folders or path in self.files


def tracked(root):
    """Tracked files that still exist, or every file where there is no git (a source archive)."""
    git = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"], capture_output=True)
    if git.returncode == 0:
        names = git.stdout.decode().split("\0")
        return [name for name in names if name and os.path.isfile(os.path.join(root, name))]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in ("build", ".git", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return found


def without_comments(text):
    """C++ with its comments blanked and its line numbers kept; strings are left alone."""
    pattern = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/'

    def blank(match):
        return match[0] if match[0][0] == '"' else re.sub(r"[^\n]", " ", match[0])

    return re.sub(pattern, blank, text, flags=re.S)


def under(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def include_error(tree, path, name, quoted):
    """Why `path` may not include `name`, or None."""
    for pattern, folders in CONFINED:
        confined = re.match(pattern, name) and not (quoted and name.split("/")[0] in MAY_INCLUDE)
        if confined and not under(path, folders + ("tests", CLIENTS)):
            return f"{name} may be included only in {', '.join(folders)}"
    if not quoted or re.match(r".*\.pb\.h", name):
        return None
    top, target = path.split("/")[0], name.split("/")[0]
    ours = target in MAY_INCLUDE or target == "tests"
    if not tree.exists(name) if ours else "/" not in name:
        return f'"{name}" is no tracked file; paths are relative to the root of the tree'
    if not ours or top not in MAY_INCLUDE:
        return None
    if target != top and target != "common" and target not in MAY_INCLUDE[top]:
        return f"{top}/ may not include {target}/ ({name})"
    from_backend = [folder for folder in BACKENDS if under(path, (folder,))]
    to_backend = [folder for folder in BACKENDS if under(name, (folder,))]
    if from_backend and to_backend and from_backend != to_backend:
        return f"{os.path.dirname(path)} may not include another backend ({name})"
    return None


def check_includes(tree):
    for path in tree.files:
        if not path.endswith(CPP):
            continue
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            error = match and include_error(tree, path, match[2], match[1] == '"')
            if error:
                yield path, number, error


def braces(path):
    """`a.{h,cc}` is a.h and a.cc."""
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        return [path]
    return [p for part in match[1].split(",") for p in braces(path[: match.start()] + part + path[match.end():])]


def is_path(tree, words):
    """Whether text in backticks names a place in the tree."""
    first = words.split(" ")[0]
    if not re.fullmatch(r"[A-Za-z0-9_.{},*/+-]+", first) or first.startswith(OUTSIDE + ("/",)):
        return False
    if "/" not in first:
        return first.endswith(".md")
    return first.split("/")[0] in tree.folders or (first.endswith(PATH_ENDINGS) and not first.startswith("*"))


def check_documents(tree):
    for document in tree.files:
        if not document.endswith(".md"):
            continue
        here = os.path.dirname(document)
        fenced = False
        for number, line in enumerate(tree.text(document).splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            if fenced:
                continue
            named = [words.split(" ")[0] for words in re.findall(r"`([^`]+)`", line) if is_path(tree, words)]
            links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", line)
            named += [link for link in links if not re.match(r"[a-z]+:|\.\./\.\./", link)]
            for path in (p.rstrip("/.,") for name in named for p in braces(name)):
                places = {os.path.normpath(os.path.join(folder, path)) for folder in ("", here)}
                known = tree.files + list(tree.folders)
                if not any(fnmatch.filter(known, place) if "*" in place else tree.exists(place) for place in places):
                    yield document, number, f"names `{path}`, which is not there"


def check_built(tree):
    lists = {os.path.dirname(path): re.sub(r"#[^\n]*", "", tree.text(path))
             for path in tree.files if path.endswith("CMakeLists.txt")}
    for path in tree.files:
        match = re.search(r"([^/]+)(_(?:test|fuzz|bench)\.(?:cc|py|sh))$", path)
        if not match:
            continue
        folders = [folder for folder in lists if not folder or under(path, (folder,))]
        text = " ".join(lists[folder] for folder in folders)
        words = set(re.split(r"[\s()/\"]+", text))
        # A loop over names may add the ending: foreach(op a b) ... ${op}_test.cc
        by_loop = "}" + match[2] in text and match[1] in words
        by_path = any(path in text for text in lists.values())
        if match[1] + match[2] not in words and not by_loop and not by_path:
            yield path, 1, "no CMakeLists.txt builds or runs this file"


def check_tokens(tree):
    rules = (
        (r"\b(?:secure_)?getenv\s*\(", ("cli", "tests"), "environment variables are read in cli/ only"),
        (r"\babsl::Now\s*\(|\bsystem_clock::now\b|\bstd::random_device\b", ("cli",),
         "clocks and seeds are given at construction; only cli/ makes them"),
    )
    for path in tree.files:
        if not path.endswith(CPP) or under(path, (CLIENTS,)):
            continue
        for number, line in enumerate(without_comments(tree.text(path)).splitlines(), 1):
            for pattern, folders, error in rules:
                if re.search(pattern, line) and not under(path, folders):
                    yield path, number, error


def check_sizes(tree):
    for path in tree.files:
        size = os.path.getsize(os.path.join(tree.root, path))
        if size > MAX_BYTES:
            yield path, 1, f"has {size} bytes, more than {MAX_BYTES}"
        elif path.endswith(SOURCE):
            lines = tree.text(path).count("\n")
            if lines > MAX_LINES:
                yield path, MAX_LINES, f"has {lines} lines, more than {MAX_LINES}: split it along the ideas in it"


def check_format(tree, program):
    def findings(path):
        run = subprocess.run([program, "--dry-run", "-Werror", os.path.join(tree.root, path)], capture_output=True)
        return [] if run.returncode == 0 else [(path, 1, f"is not formatted: {os.path.basename(program)} -i {path}")]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(findings, [path for path in tree.files if path.endswith(CPP[:2])]):
            yield from found


CHECKS = (check_includes, check_documents, check_built, check_tokens, check_sizes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", metavar="CLANG_FORMAT", help="check the formatting instead of the other rules")
    parser.add_argument("root")
    args = parser.parse_args()
    tree = Tree(args.root, tracked(args.root))
    checks = [check(tree) for check in CHECKS] if not args.format else [check_format(tree, args.format)]
    findings = [finding for check in checks for finding in check]
    for path, line, error in findings:
        print(f"{path}:{line}: {error}")
    print(f"{len(tree.files)} files, {len(findings)} findings")
    return 1 if findings or not tree.files else 0


if __name__ == "__main__":
    sys.exit(main())
