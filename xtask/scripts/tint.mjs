// Compiles WGSL with Tint, by making each file a pipeline of Dawn's null backend, which needs no GPU:
// node tint.mjs WEBGPU/index.js FILE.wgsl ... The first line of a file is a comment with the values of its overrides, in JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [library, ...files] = process.argv.slice(2);
const { create } = await import(pathToFileURL(library));
// Kept in a global variable because Dawn crashes when the garbage collector frees it.
globalThis.gpu = create(["backend=null"]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ["subgroups"] });
const most = device.limits.maxStorageBuffersPerShaderStage;
let passed = 0;
let modules = 0;
for (const file of files) {
    const code = readFileSync(file, "utf8");
    const constants = JSON.parse(code.slice(2, code.indexOf("\n")));
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code });
    // The null backend's limits cannot be raised. A shader with more buffers is only compiled as a module.
    const isPipeline = code.split("var<storage").length - 1 <= most;
    if (isPipeline) {
        device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main", constants } });
    }
    const error = await device.popErrorScope();
    if (error) {
        console.log(`${file}: ${error.message}`);
    } else {
        passed += 1;
        modules += !isPipeline;
    }
}
console.log(`Tint: ${modules} as modules only, since they have more storage buffers than the null backend's ${most}`);
console.log(`test result: ${passed} passed; ${files.length - passed} failed`);
// Dawn's threads would keep the process alive.
process.exit(passed === files.length ? 0 : 1);
