/**
 * Golden cases: one file is a sentence of intent, the parts of a document that matter, and the complete output. They are
 * documentation too. `UPDATE_GOLDEN=1` writes the outputs anew; read the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { RouterDocument } from 'documents';
import { routerDocument } from './documents.ts';

/** Sentence, ```json, ```text. */
const FORM =
  /^(?<intent>[\s\S]+?)\n+```json\n(?<input>[\s\S]*?)\n```\n+```text\n(?<output>[\s\S]*?)\n?```\n*$/;

export interface GoldenCase {
  readonly name: string;
  readonly path: string;
  readonly intent: string;
  readonly document: RouterDocument;
  readonly output: string;
}

/** The cases of one feature's `golden/` folder. */
export const goldenCases = (folder: URL): GoldenCase[] => {
  const directory = folder.pathname;
  return readdirSync(directory)
    .filter((file) => file.endsWith('.md'))
    .toSorted()
    .map((file) => {
      const path = join(directory, file);
      const groups = FORM.exec(readFileSync(path, 'utf8'))?.groups;
      if (groups === undefined) throw new Error(`${path} is not a sentence, a json block and a text block`);
      const { intent = '', input = '', output = '' } = groups;
      return {
        name: file.replace(/\.md$/, ''),
        path,
        intent: intent.trim(),
        document: routerDocument(JSON.parse(input) as Partial<RouterDocument>),
        output,
      };
    });
};

/** Compares what was rendered with what the case says. */
export const assertGolden = (t: ExecutionContext, golden: GoldenCase, rendered: string): void => {
  const actual = rendered.trimEnd();
  if (process.env['UPDATE_GOLDEN'] === '1') {
    const text = readFileSync(golden.path, 'utf8');
    writeFileSync(
      golden.path,
      text.replace(/```text\n[\s\S]*```\n*$/, () => `\`\`\`text\n${actual}\n\`\`\`\n`),
    );
    t.pass();
    return;
  }
  t.is(actual, golden.output.trimEnd(), golden.intent);
};
