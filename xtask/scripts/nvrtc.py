"""Compiles CUDA as NVIDIA's driver would: python3 nvrtc.py LIBNVRTC.so NVDISASM ARCHITECTURE HEADER FILE.cu ...

The assembly of each is left in FILE.sass, and its name printed.
"""
import ctypes
import pathlib
import subprocess
import sys


def check(status, what):
    if status:
        raise SystemExit(f"{what}: error {status} of NVRTC")


def bytes_of(program, get_size, get):
    size = ctypes.c_size_t()
    check(get_size(program, ctypes.byref(size)), "size")
    buffer = ctypes.create_string_buffer(size.value)
    check(get(program, buffer), "content")
    return buffer.raw


def cubin_of(nvrtc, architecture, header, file):
    """The machine code of a file, which may include `header`."""
    headers, names = (ctypes.c_char_p * 1)(header.read_bytes()), (ctypes.c_char_p * 1)(header.name.encode())
    program = ctypes.c_void_p()
    text = file.read_bytes()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, file.name.encode(), 1, headers, names), file)
    options = [f"--gpu-architecture={architecture}", "--std=c++17", "--default-device"]
    options = [option.encode() for option in options]
    if nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
        log = bytes_of(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        raise SystemExit(f"{file}: {log.decode(errors='replace')[:2000]}")
    cubin = bytes_of(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin


def main():
    library, nvdisasm, architecture, header, *files = sys.argv[1:]
    nvrtc = ctypes.CDLL(library)
    for file in map(pathlib.Path, files):
        cubin = file.with_suffix(".cubin")
        cubin.write_bytes(cubin_of(nvrtc, architecture, pathlib.Path(header), file))
        disassembled = subprocess.run([nvdisasm, "-c", cubin], capture_output=True, text=True)
        if disassembled.returncode:
            raise SystemExit(f"{cubin}: {disassembled.stderr}")
        file.with_suffix(".sass").write_text(disassembled.stdout)
        print(file, flush=True)


main()
