// The files of the page: beside it, or inside it as base64 of gzip.

const FILES = {
  runtime: "ort.wasm.bundle.min.mjs", wasm: "ort-wasm-simd-threaded.wasm", model: "model.onnx", vectors: "vectors.bin",
};

async function fileBytes(name) {
  const inside = $(`file-${name}`);
  if (!inside) {
    const response = await fetch(FILES[name]);
    if (!response.ok) throw new Error(`the file ${FILES[name]} of this page is missing: ${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  }
  const unpacked = new Blob([decode(inside.textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** Return the module of onnxruntime-web. */
async function runtime() {
  if (!$("file-runtime")) return import(`./${FILES.runtime}`);
  const address = URL.createObjectURL(new Blob([await fileBytes("runtime")], {type: "text/javascript"}));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Return the model, ready to take steps, on one thread of the processor. */
async function openModel(about) {
  const [ort, wasm, model] = await Promise.all([runtime(), fileBytes("wasm"), fileBytes("model")]);
  ort.env.wasm.numThreads = 1;  // more need headers that static hosts do not send
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  return new Model(ort, await ort.InferenceSession.create(model, {executionProviders: ["wasm"], logSeverityLevel: 3}), about);
}
