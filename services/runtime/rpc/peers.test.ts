import type { DescService } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import {
  caller,
  caught,
  closeAll,
  closing,
  eventually,
  KEY,
  serve,
  serveAll,
} from "../../../test/support/grpc-ground.ts";
import { readConfig } from "../config.ts";
import { openPeers, ownerOf, targetOf } from "./peers.ts";

afterEach(closeAll);

function peersOf(text: string) {
  const peers = openPeers({ peers: readConfig({ WAYMARK_PEERS: text }).peers, key: KEY });
  closing.push(peers.close);
  return peers;
}

describe("where a service is", () => {
  it.each([
    ["*=dns:///{service}:9090", "scans", "dns:///scans:9090"],
    ["*=dns:///wm-{service}.{service}.svc:1", "tags", "dns:///wm-tags.tags.svc:1"],
    ["*=dns:///x:1 scans=ipv4:127.0.0.1:1,127.0.0.1:2", "scans", "ipv4:127.0.0.1:1,127.0.0.1:2"],
  ])("by %s, %s is at %s", (text, name, target) => {
    expect(targetOf(readConfig({ WAYMARK_PEERS: text }).peers, name)).toBe(target);
  });

  it("that the setting does not say stops the call, with its name", () => {
    const { transportOf } = peersOf("codes=dns:///codes:9090");
    expect(() => transportOf(ScanService)).toThrow("WAYMARK_PEERS does not say where scans is");
  });

  it("is told by the package alone", () => {
    expect(ownerOf(AuthorityService)).toBe("access");
    expect(() => ownerOf({ typeName: "grpc.health.v1.Health" } as DescService)).toThrow("not a service of Waymark's");
  });
});

it("services of one process share one way, and calls over it reach it", async () => {
  const { port } = await serve({ getSettings: () => ({ timezone: "UTC" }) });
  const { transportOf } = peersOf(`*=ipv4:127.0.0.1:${port}`);
  expect((await createClient(AuthorityService, transportOf(AuthorityService)).getSettings({}, caller)).timezone).toBe(
    "UTC",
  );
  expect(transportOf({ typeName: "waymark.access.v1.KeyService" } as DescService)).toBe(transportOf(AuthorityService));
});

it("calls go round all addresses of a list, but a workspace's analytics stay on one", async () => {
  const calls: string[] = [];
  const ports: number[] = [];
  for (const name of ["a", "b", "c"]) {
    const answer = () => {
      calls.push(name);
      return {};
    };
    const server = await serveAll((router) => {
      router.service(AuthorityService, { getSettings: answer });
      router.service(AnalyticsService, { listEvents: answer });
    });
    ports.push(server.port);
  }
  const list = ports.map((port) => `127.0.0.1:${port}`).join(",");
  const { transportOf } = peersOf(`*=ipv4:${list}`);
  const authority = createClient(AuthorityService, transportOf(AuthorityService));
  const analytics = createClient(AnalyticsService, transportOf(AnalyticsService));
  await eventually(async () => {
    await authority.getSettings({}, caller);
    return new Set(calls).size === 3;
  });
  calls.length = 0;
  for (let count = 0; count < 10; count += 1) await analytics.listEvents({}, caller);
  expect([calls.length, new Set(calls).size]).toEqual([10, 1]);
});

it("after the close no call is made", async () => {
  const { port } = await serve({ getSettings: () => ({}) });
  const peers = peersOf(`*=ipv4:127.0.0.1:${port}`);
  const client = createClient(AuthorityService, peers.transportOf(AuthorityService));
  await client.getSettings({}, caller);
  peers.close();
  expect(await caught(client.appendAudit({}, caller))).toBeInstanceOf(Error);
});
