// Compares exported documents with what the fold shows: node automerge_js.mjs PACKAGE.JSON FOLDER
import { createRequire } from "node:module";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [, , packageJson, folder] = process.argv;
const Automerge = createRequire(packageJson)("@automerge/automerge");

let documents = 0;
let wrong = 0;
for (const name of readdirSync(folder).filter((name) => name.endsWith(".automerge"))) {
  const doc = Automerge.load(readFileSync(join(folder, name)));
  const expected = JSON.parse(readFileSync(join(folder, name.replace(".automerge", ".json"))));
  documents += 1;
  for (const [field, values] of Object.entries(expected)) {
    const several = Automerge.getConflicts(doc, field);
    const found = several ? Object.values(several) : field in doc ? [doc[field]] : [];
    const texts = [...new Set(found.map(String))].sort();
    if (JSON.stringify(texts) !== JSON.stringify([...values].sort())) {
      wrong += 1;
      console.log(`${name} ${field}: the package shows ${texts}, the fold ${values}`);
    }
  }
}
console.log(`${documents} documents read by Automerge's JavaScript, ${wrong} differences`);
process.exit(wrong === 0 && documents > 0 ? 0 : 1);
