// Runs inside the sandbox: loads an answer, calls its function, tells what came back.
// An order as JSON on stdin; on stdout one line of JSON for the loading and one for each call.
// What the answer prints itself goes nowhere. The right results are not known here.
import fs from "fs";
import vm from "vm";
import { createRequire } from "module";

const order = JSON.parse(fs.readFileSync(0, "utf8"));
const tell = (what) => fs.writeSync(1, JSON.stringify(what) + "\n");
for (const name of ["log", "info", "warn", "error", "debug", "table"]) console[name] = () => {};
process.stdout.write = () => true;
process.on("uncaughtException", () => process.exit(70));
globalThis.require = createRequire(import.meta.url);
globalThis.module = { exports: {} };
globalThis.exports = globalThis.module.exports;

function load() {
  const source = order.source.replace(/^export\s+(default\s+)?(?=(async\s+)?(function|const|let|class)\b)/gm, "");
  const found = vm.runInThisContext(source + "\n;" + order.function, { filename: "answer.js" });
  if (typeof found !== "function") throw new TypeError("there is no function " + order.function);
  return found;
}

function told(value) {
  const text = JSON.stringify(value);
  if (text === undefined) return { error: "TypeError: it returned no JSON value" };
  return { value: JSON.parse(text) };
}

let answer;
try {
  answer = load();
  tell({ ready: true });
} catch (error) {
  tell({ broken: String(error).slice(0, 300) });
}
if (answer) {
  for (const args of order.calls) {
    try {
      tell(told(answer(...args)));
    } catch (error) {
      tell({ error: String(error).slice(0, 300) });
    }
  }
}
