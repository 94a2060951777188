import { type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { fieldRules } from "./transcode/names.ts";

/** Empties the fields that are between Waymark's own processes only. The transcoder leaves them out by itself. */
export type Strip = (message: Message) => void;

/** Makes the strip of a message type; undefined when neither it nor what it holds has such fields. */
export function stripOf(desc: DescMessage): Strip | undefined {
  return compile(desc, new Map());
}

type Fields = Record<string, unknown>;

/** Types on the way down to themselves are taken to have internal fields, so that a recursive type is walked. */
function compile(desc: DescMessage, made: Map<DescMessage, Strip | undefined>): Strip | undefined {
  if (made.has(desc)) return made.get(desc);
  const steps: Strip[] = [];
  const strip: Strip = (message) => {
    for (const step of steps) step(message);
  };
  made.set(desc, strip);
  for (const field of desc.fields) {
    if (fieldRules(field).internal) steps.push((message) => clear(message as unknown as Fields, field));
    else if (field.message !== undefined) {
      const inner = compile(field.message, made);
      if (inner !== undefined && inner !== strip) steps.push((message) => valuesOf(message as unknown as Fields, field).forEach(inner));
    }
  }
  if (steps.length > 0) return strip;
  made.set(desc, undefined);
  return undefined;
}
