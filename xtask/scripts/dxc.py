"""Compiles HLSL with DXC, with the options that wgpu gives it: python3 dxc.py LIBDXCOMPILER.so FILE.hlsl ...

A whole compilation takes seconds, so only every 19th file is compiled to DXIL; the others go through DXC's front end.
On Linux the method tables of DXC's COM objects have two entries more than on Windows, after those of IUnknown.
"""
import ctypes
import pathlib
import sys
import uuid


def guid(text):
    return (ctypes.c_ubyte * 16).from_buffer_copy(uuid.UUID(text).bytes_le)


def method(object_, index, result, *types):
    table = ctypes.cast(object_, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    return lambda *arguments: ctypes.CFUNCTYPE(result, ctypes.c_void_p, *types)(table[index])(object_, *arguments)


class Source(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("size", ctypes.c_size_t), ("encoding", ctypes.c_uint)]


POINTER, RELEASE = ctypes.c_void_p, 2
COMPILER_CLASS = guid("73e22d93-e6ce-47f3-b5bf-f0664f39c1b0")
COMPILER = guid("228b4687-5a6a-4730-900c-9702b2203f54")
RESULT = guid("58346cda-dde7-4497-9461-6f87af5e0659")


def errors_of(compile_, text, options):
    """DXC's errors about `text`, empty if it compiles."""
    words = ["-E", "main", "-T", "cs_6_0", "-HV", "2018", "-no-warnings", "-Ges", *options]
    source, words_ = Source(text, len(text), 0), (ctypes.c_wchar_p * len(words))(*words)
    result, status, errors = POINTER(), ctypes.c_long(), POINTER()
    compile_(ctypes.byref(source), words_, len(words), None, RESULT, ctypes.byref(result))
    method(result, 5, ctypes.c_long, POINTER)(ctypes.byref(status))
    method(result, 7, ctypes.c_long, POINTER)(ctypes.byref(errors))
    message = ""
    if status.value:
        size = method(errors, 6, ctypes.c_size_t)()
        message = ctypes.string_at(method(errors, 5, POINTER)(), size).decode(errors="replace")
    for object_ in (errors, result):
        if object_:
            method(object_, RELEASE, ctypes.c_ulong)()
    return message or ("refused" if status.value else "")


library = ctypes.CDLL(sys.argv[1])
compiler = POINTER()
library.DxcCreateInstance(COMPILER_CLASS, COMPILER, ctypes.byref(compiler))
compile_ = method(compiler, 5, ctypes.c_long, POINTER, POINTER, ctypes.c_uint, POINTER, POINTER, POINTER)
files, failed, whole = sys.argv[2:], 0, 0
for number, file in enumerate(files):
    is_whole = number % 19 == 0
    message = errors_of(compile_, pathlib.Path(file).read_bytes(), [] if is_whole else ["-fcgl"])
    whole += is_whole
    if message:
        failed += 1
        print(f"{file}: {message}")
print(f"DXC: {whole} of them all the way to DXIL")
print(f"test result: {len(files) - failed} passed; {failed} failed")
sys.exit(failed > 0)
