import { create, type DescService, equals } from "@bufbuild/protobuf";
import { createClient, type HandlerContext, type ServiceImpl, type Transport } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { ScanService as TagScanService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { bound, caller, closeAll, closing, KEY, serveAll } from "../../../test/support/grpc-ground.ts";
import { createGrpcTransport } from "./grpc-client.ts";
import { createInProcessTransport } from "./in-process.ts";

afterEach(closeAll);

/** The same handlers within the process and over gRPC. */
async function bothWays<S extends DescService>(service: S, handlers: Partial<ServiceImpl<S>>) {
  const routes = (router: Parameters<Parameters<typeof bound>[0]>[0]) => void router.service(service, handlers);
  const { port } = await serveAll(routes);
  const far = createGrpcTransport({ target: `127.0.0.1:${port}`, key: KEY });
  closing.push(far.close);
  return { near: createInProcessTransport(bound(routes)), far };
}

async function replyOf(transport: Transport, headers: Record<string, string>) {
  let received: [string, string][] = [];
  const onHeader = (all: Headers) => {
    received = [...all];
  };
  const message = await createClient(AuthorityService, transport).getSettings({}, { ...caller, headers, onHeader });
  return { timezone: message.timezone, received };
}

const bytes = Buffer.from([0, 255, 7]).toString("base64").replace(/=+$/, "");

describe("headers over gRPC are those within the process", () => {
  it.each<[string, Record<string, string>]>([
    ["none", {}],
    ["of a part", { "content-range": "bytes 0-9/100", "accept-ranges": "bytes", etag: '"a"' }],
    ["of a file", { "content-disposition": 'attachment; filename="x.csv"', "cache-control": "no-store" }],
    ["with letters beyond ASCII", { "content-disposition": 'inline; filename="pl\u00e4ne.pdf"' }],
    ["that gRPC has itself", { "content-type": "image/png", date: "yesterday", te: "x", "grpc-status": "7" }],
    ["of bytes", { "trace-bin": bytes }],
    ["empty", { "x-empty": "" }],
  ])("%s", async (_case, sent) => {
    const { near, far } = await bothWays(AuthorityService, {
      getSettings: (_request: unknown, { responseHeader, requestHeader }: HandlerContext) => {
        for (const [name, value] of Object.entries(sent)) responseHeader.set(name, value);
        return { timezone: JSON.stringify([...requestHeader]) };
      },
    });
    const [within, across] = [await replyOf(near, sent), await replyOf(far, sent)];
    expect(across).toEqual(within);
    expect(Object.fromEntries(across.received)).toEqual(sent);
  });
});

it("a reply that is a file comes byte for byte, with its kind and its part", async () => {
  const body = create(HttpBodySchema, {
    contentType: "image/png",
    data: Uint8Array.from({ length: 70_000 }, (_, index) => index % 256),
  });
  const { near, far } = await bothWays(TagScanService, {
    drawTag: (_request: unknown, handler: HandlerContext) => {
      handler.responseHeader.set("content-range", `${handler.requestHeader.get("range")}/70000`);
      return { picture: body };
    },
  });
  const parts: (string | null)[] = [];
  for (const transport of [near, far]) {
    const options = {
      ...caller,
      headers: { range: "bytes 0-69999" },
      onHeader: (headers: Headers) => void parts.push(headers.get("content-range")),
    };
    const reply = await createClient(TagScanService, transport).drawTag({ encryptedId: "x" }, options);
    expect(equals(HttpBodySchema, reply.picture ?? create(HttpBodySchema), body)).toBe(true);
  }
  expect(parts).toEqual(Array(2).fill("bytes 0-69999/70000"));
});
