import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { makeAuthority, makeCertificate } from "../../../test/support/certificates.ts";
import { caller, caught, closeAll, closing, eventually, KEY, serve } from "../../../test/support/grpc-ground.ts";
import { type Identity, openIdentity } from "./credentials.ts";
import { createGrpcTransport } from "./grpc-client.ts";

const folder = mkdtempSync(join(tmpdir(), "waymark-tls-"));
const at = (name: string) => join(folder, name);
const filesOf = (name: string, authority = "ours") => ({
  tlsCert: at(`${name}.pem`),
  tlsKey: at(`${name}.key`),
  tlsCa: at(`${authority}.pem`),
});

beforeAll(() => {
  for (const authority of ["ours", "theirs"]) makeAuthority(folder, authority);
  for (const name of ["scans", "gateway"]) makeCertificate(folder, { name, authority: "ours" });
  makeCertificate(folder, { name: "stranger", authority: "theirs" });
});
afterEach(closeAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function identityOf(files: Parameters<typeof openIdentity>[0], rereadMs?: number): Identity {
  const identity = openIdentity(files, rereadMs);
  closing.push(identity.close);
  return identity;
}

function clientWith(port: number, channel: ChannelCredentials) {
  const transport = createGrpcTransport({ target: `dns:///localhost:${port}`, key: KEY, credentials: channel });
  closing.push(transport.close);
  return createClient(AuthorityService, transport);
}

const getSettings = () => ({ timezone: "UTC" });
const quickly = { ...caller, timeoutMs: 600 };
const serveAs = (identity: Identity) => serve({ getSettings }, "127.0.0.1:0", { credentials: identity.server });

describe("mTLS", () => {
  it("lets those in who have a certificate of the same authority", async () => {
    const { port } = await serveAs(identityOf(filesOf("scans")));
    const client = clientWith(port, identityOf(filesOf("gateway")).channel);
    expect((await client.getSettings({}, caller)).timezone).toBe("UTC");
  });

  it.each<[string, () => ChannelCredentials]>([
    ["no certificate", () => credentials.createSsl(readFileSync(at("ours.pem")))],
    ["no TLS", () => credentials.createInsecure()],
    ["a certificate of another authority", () => identityOf(filesOf("stranger")).channel],
  ])("refuses a client that has %s", async (_case, channel) => {
    const { port } = await serveAs(identityOf(filesOf("scans")));
    expect((await caught(clientWith(port, channel()).getSettings({}, quickly))).code).toBe(Code.Unavailable);
  });

  it("does not call a server that has a certificate of another authority", async () => {
    const { port } = await serveAs(identityOf(filesOf("stranger", "ours")));
    const client = clientWith(port, identityOf(filesOf("gateway")).channel);
    expect((await caught(client.getSettings({}, quickly))).code).toBe(Code.Unavailable);
  });

  it("takes up files that were renewed, and nothing that is half written", async () => {
    for (const part of ["pem", "key"]) copyFileSync(at(`stranger.${part}`), at(`renewed.${part}`));
    const { port } = await serveAs(identityOf(filesOf("renewed"), 10));
    const channel = identityOf(filesOf("gateway")).channel;
    expect((await caught(clientWith(port, channel).getSettings({}, quickly))).code).toBe(Code.Unavailable);
    copyFileSync(at("scans.pem"), at("renewed.pem"));
    expect((await caught(clientWith(port, channel).getSettings({}, quickly))).code).toBe(Code.Unavailable);
    copyFileSync(at("scans.key"), at("renewed.key"));
    await eventually(() =>
      clientWith(port, channel)
        .getSettings({}, quickly)
        .then(
          ({ timezone }) => timezone === "UTC",
          () => false,
        ),
    );
  });
});

describe("settings of mTLS", () => {
  it("that are not all there are refused, with their names", () => {
    expect(() => openIdentity({ tlsCert: at("scans.pem") })).toThrow("go together; set all three or none");
  });

  it.each([
    ["are not there", { ...filesOf("scans"), tlsCert: at("nowhere.pem") }],
    ["do not fit together", { ...filesOf("scans"), tlsKey: at("gateway.key") }],
    ["are no certificates", { ...filesOf("scans"), tlsCert: at("scans.ext") }],
  ])("whose files %s are refused at the start", (_case, files) => {
    expect(() => openIdentity(files)).toThrow("cannot be used");
  });

  it("that are not given mean plain text", async () => {
    const { port } = await serveAs(identityOf({}));
    expect((await clientWith(port, identityOf({}).channel).getSettings({}, caller)).timezone).toBe("UTC");
  });
});
