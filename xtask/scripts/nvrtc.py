"""Compiles CUDA as NVIDIA's driver would: python3 nvrtc.py LIBNVRTC.so NVDISASM ARCHITECTURE HEADER FILE.cu ...

For each, the assembly is left in FILE.sass and what the assembler says of registers in FILE.log, and its name is printed.
"""
import concurrent.futures
import ctypes
import os
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


def code_and_log(nvrtc, architecture, header, file):
    """The machine code of a file, which may include `header`, and the log."""
    headers, names = (ctypes.c_char_p * 1)(header.read_bytes()), (ctypes.c_char_p * 1)(header.name.encode())
    program = ctypes.c_void_p()
    text = file.read_bytes()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, file.name.encode(), 1, headers, names), file)
    options = ["--std=c++17", "--device-as-default-execution-space", "--disable-warnings", "--ptxas-options=-v"]
    options = [option.encode() for option in [f"--gpu-architecture={architecture}", *options]]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    log = bytes_of(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).rstrip(b"\0")
    if failed:
        raise SystemExit(f"{file}: {log.decode(errors='replace')[:2000]}")
    cubin = bytes_of(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin, log


def main():
    library, nvdisasm, architecture, header, *files = sys.argv[1:]
    nvrtc = ctypes.CDLL(library)

    def one(file):
        cubin, log = code_and_log(nvrtc, architecture, pathlib.Path(header), file)
        file.with_suffix(".log").write_bytes(log)
        file.with_suffix(".cubin").write_bytes(cubin)
        disassembled = subprocess.run([nvdisasm, "-c", file.with_suffix(".cubin")], capture_output=True, text=True)
        if disassembled.returncode:
            raise SystemExit(f"{file}: {disassembled.stderr}")
        file.with_suffix(".sass").write_text(disassembled.stdout)
        return file

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for file in threads.map(one, map(pathlib.Path, files)):
            print(file, flush=True)


main()
