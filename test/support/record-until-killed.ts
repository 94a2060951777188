import { writeSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { openLogger } from "#runtime/logger.ts";
import { IntakeLine } from "../../gateway/intake-line.ts";
import { TouchQueue } from "../../gateway/queue/touch-queue.ts";
import { Recorder } from "../../gateway/recorder.ts";

// Records touches of redirects, eight at a time, over an intake that is down two times of three, until it is killed. Prints
// "taken ID" before intake takes a touch, and "sent on ID" when a redirect may go on. Arguments: folder, prefix of the ids.
const [folder, prefix] = process.argv.slice(2) as [string, string];
const log = openLogger("silent");
let calls = 0;
const intake = {
  async recordTouches({ touches }: { touches: TouchInput[] }) {
    calls += 1;
    if (calls % 3 !== 0) throw new ConnectError("down", Code.Unavailable);
    writeSync(1, touches.map(({ id }) => `taken ${id}\n`).join(""));
    return { accepted: touches.length, rejected: [], ids: [] };
  },
};
const queue = await TouchQueue.open({ folder, key: Buffer.alloc(32, 1), log });
const recorder = new Recorder({ line: new IntakeLine({ intake: intake as never, log }), queue, log });

async function recordForEver(lane: number): Promise<never> {
  for (let turn = 0; ; turn += 1) {
    const id = `${prefix}.${lane}.${turn}`;
    await recorder.record(create(TouchInputSchema, { id }), { workspace: `w${lane % 3}`, test: false });
    writeSync(1, `sent on ${id}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, lane) => recordForEver(lane)));
