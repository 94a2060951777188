import type { Talk } from "./model.ts";

/** A conversation after an update: it is open, and its messages never go down. So updates may repeat and overtake each other. */
export function talkOn(talk: Talk, messages: number): Talk {
  return { started: true, messages: Math.max(talk.messages, messages) };
}
