import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import { bodyName, isFlat, queryName } from "./names.ts";

/** Where the fields of a request come from. */
export interface Sources {
  dialect: Dialect;
  /** Request field that is the body, "*" or "". */
  body: string;
  /** Fields, by proto path, that the path fills. */
  pathFields: readonly string[];
}

// One step of a path: "scans[3]", `labels["a.b"]`.
const STEP = /\.?([A-Za-z_]\w*)((?:\[(?:"(?:[^"\\]|\\.)*"|[^\]"]*)\])*)/y;

/**
 * Makes the translation of field paths in proto names to what the caller has written: "scan.scanned_at" → "scannedAt" when
 * `scan` is the body, and "body" for `scan` itself. From where the message has no such field the path stays as it is.
 */
export function createFieldNaming(
  desc: DescMessage,
  { dialect, body, pathFields }: Sources,
): (protoPath: string) => string {
  return (protoPath) => {
    const steps = stepsOf(protoPath);
    const bare = steps.map(({ name }) => name).join(".");
    const inBody = !pathFields.includes(bare) && (body === "*" || (body !== "" && steps[0]?.name === body));
    const nameIn = inBody ? bodyName : queryName;
    const words: string[] = [];
    let message: DescMessage | undefined = desc;
    for (const [index, { name, subscript, rest }] of steps.entries()) {
      const field: DescField | undefined = message?.fields.find((other) => other.name === name);
      if (field === undefined) return [...words, rest].join(".");
      const isBody = inBody && index === 0 && body !== "*";
      if (!isBody && !isFlat(field)) words.push(nameIn(field, dialect) + subscript);
      else if (subscript !== "") words.push(subscript);
      message = field.message;
    }
    return words.length === 0 ? "body" : words.join(".");
  };
}

function stepsOf(path: string): { name: string; subscript: string; rest: string }[] {
  const steps: { name: string; subscript: string; rest: string }[] = [];
  STEP.lastIndex = 0;
  for (let at = 0; at < path.length; at = STEP.lastIndex) {
    const match = STEP.exec(path);
    const rest = path.slice(at).replace(/^\./, "");
    if (match === null) return [...steps, { name: "", subscript: "", rest }];
    steps.push({ name: match[1] as string, subscript: match[2] as string, rest });
  }
  return steps;
}
