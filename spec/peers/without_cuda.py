"""without_cuda.py - let the PyTorch of this Python's environment load on a machine that has no CUDA.

PyPI's Linux wheel is linked with some 2 GB of CUDA libraries, which a CPU never runs. In their place come small ones of
the same names, beside PyTorch's own: each function that PyTorch names is there and says "no CUDA device" (100). What
PyTorch does on the CPU is untouched. Needs a C compiler and binutils.
"""
import collections
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

NO_DEVICE = 100
CUDA = re.compile(r"lib(cu|nv|nccl)")  # what the libraries are called
FUNCTION = re.compile(r"(__)?(cu|nccl|nv)")  # and their functions that carry no version
CHECK = "import torch; a = torch.ones(9, 9); assert not torch.cuda.is_available() and (a @ a).sum() == 729"


def output(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def needs(folder):
    """What the libraries of a folder lack: CUDA library -> its version or None, and its functions -> their version."""
    versions, functions, defined = {}, {}, set()
    for path in sorted(folder.glob("*.so*")):
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", path)):
            if CUDA.match(name) and not (folder / name).exists():
                versions.setdefault(name, None)
        for name, version in re.findall(r"File: (\S+) .*\n.*Name: (\S+) ", output("readelf", "-VW", path)):
            if name in versions:
                versions[name] = version
        for line in output("nm", "-D", path).splitlines():
            kind, symbol = line.split()[-2:]
            name, _, version = symbol.partition("@")
            if kind in "Uw":
                functions[name] = max(functions.get(name, ""), version.strip("@"))
            else:
                defined.add(name)
    known = set(versions.values())
    lacking = {name: version for name, version in functions.items() if name not in defined}
    return versions, {name: v for name, v in lacking.items() if v in known or not v and FUNCTION.match(name)}


def build(path, version, functions):
    """A library whose functions all return NO_DEVICE, or that in words."""
    lines = []
    for name in sorted(functions):
        words = name.endswith(("GetErrorString", "GetErrorName"))
        kind, value = ("const char *", '"no CUDA"') if words else ("long ", NO_DEVICE)
        lines.append(f"{kind}{name}(void) {{ return {value}; }}")
    with tempfile.TemporaryDirectory() as work:
        source, script = pathlib.Path(work, "functions.c"), pathlib.Path(work, "versions.map")
        source.write_text("\n".join(lines) + "\n")
        script.write_text(f"{version or 'unversioned'} {{ global: *; }};\n")
        flags = [f"-Wl,--version-script={script}"] if version else []
        output("cc", "-w", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", *flags, "-o", path, source)


def main():
    folder = pathlib.Path(os.path.dirname(importlib.util.find_spec("torch").origin), "lib")
    versions, functions = needs(folder)
    if not versions:
        return  # a build for the CPU alone, or done before
    library_of = {version: name for name, version in versions.items() if version}
    of = collections.defaultdict(set)
    for function, version in functions.items():
        of[library_of.get(version, min(versions))].add(function)  # one without a version is found in any of them
    for name, version in sorted(versions.items()):
        build(folder / name, version, of[name])
    output(sys.executable, "-c", CHECK)


main()
