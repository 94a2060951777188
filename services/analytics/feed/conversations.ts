import { fromBinary } from "@bufbuild/protobuf";
import { ConversationUpdatedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Apply } from "./changes.ts";

/** How far the conversation of an event is, and where on the log that was said last. */
interface Told {
  workspace: string;
  id: string;
  messages: number;
  position: number;
}

/** The number of messages never goes down; an update that came before its event changes nothing. */
const CONTINUE = `UPDATE events SET talked = true, messages = greatest(events.messages, told.messages),
    changed = greatest(events.changed, told.position)
  FROM (SELECT unnest($ids) AS id, unnest($messages) AS messages, unnest($positions) AS position) told
  WHERE events.workspace = $workspace AND events.id = told.id AND events.position < told.position
    AND (NOT events.talked OR events.messages < told.messages)`;

/** Conversations went on: their events get how far they are. */
export async function conversationChanges(entries: readonly LogEntry[]): Promise<Apply> {
  const told = new Map<string, Told>();
  for (const one of entries.flatMap(read)) {
    const key = `${one.workspace}/${one.id}`;
    const known = told.get(key);
    if (known === undefined || known.messages < one.messages) told.set(key, one);
  }
  return async ({ run }) => {
    for (const [workspace, some] of Map.groupBy(told.values(), (one) => one.workspace))
      await run(CONTINUE, {
        workspace,
        ids: some.map(({ id }) => id),
        messages: some.map(({ messages }) => BigInt(messages)),
        positions: some.map(({ position }) => BigInt(position)),
      });
  };
}

function read({ payload, position }: LogEntry): Told[] {
  try {
    const { workspaceId: workspace, scanId: id, messages } = fromBinary(ConversationUpdatedSchema, payload);
    return [{ workspace, id, messages, position }];
  } catch {
    return [];
  }
}
