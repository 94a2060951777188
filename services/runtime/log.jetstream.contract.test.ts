import { ulid } from "ulid";
import { afterAll, beforeAll, describe } from "vitest";
import { logContract } from "../../test/contract/log.ts";
import { anyNats, anyNatsMissing } from "../../test/support/nats-server.ts";
import { openJetStreamLog } from "./log.jetstream.ts";
import { type Nats, openNats } from "./nats.ts";

describe.skipIf(anyNatsMissing())("with a NATS server", () => {
  let server: Awaited<ReturnType<typeof anyNats>>;
  let nats: Nats;
  beforeAll(async () => {
    server = await anyNats();
    nats = await openNats({ urls: [server.url], name: "test" });
  });
  afterAll(async () => {
    await nats?.close();
    await server?.stop();
  });

  logContract("JetStream", async () => {
    const stream = `TEST_${ulid()}`;
    const prefix = stream.toLowerCase();
    return {
      open: (limits) => openJetStreamLog({ nats, stream, prefix, ...limits }),
      discard: async () => {
        await nats.connection.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 2000 });
      },
    };
  });
});
