import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { DuckDBInstance } from "@duckdb/node-api";
import { expect, it } from "vitest";
import { TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { tellChanged } from "../aggregates/test-scans.ts";
import { openAnalyticsGround } from "../test-ground.ts";

async function linksIn(folder: string) {
  const instance = await DuckDBInstance.create(join(folder, "analytics.duckdb"), { access_mode: "READ_ONLY" });
  const connection = await instance.connect();
  const read = await connection.runAndReadAll(
    "SELECT workspace, link_id, name, status, changed::INTEGER AS changed FROM links ORDER BY 1, 2",
  );
  connection.closeSync();
  instance.closeSync();
  return read.getRowObjects();
}

it("a deleted code keeps its name, and says where on the log it was deleted", async () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-links-"));
  const ground = await openAnalyticsGround({ folder });
  for (const [workspaceId, codeId] of [
    ["acme", "a"],
    ["acme", "b"],
    ["acme", "c"],
    ["rival", "a"],
  ] as const) {
    const known = { purpose: Purpose.MARKETING, status: TargetStatus.ACTIVE, name: `Name of ${codeId}` };
    ground.targets.push(create(TargetSchema, { codeId, workspaceId, ...known }));
  }
  await tellChanged(ground, ["a", "b", "c"], "acme");
  await tellChanged(ground, ["a"], "rival");
  const made = ground.gauges()["analytics.position"] ?? 0;
  const stays = ({ workspaceId, codeId }: { workspaceId: string; codeId: string }) =>
    workspaceId === "rival" || codeId === "c";
  ground.targets.splice(0, ground.targets.length, ...ground.targets.filter(stays));
  await tellChanged(ground, ["a", "b"], "acme");
  await ground.close();
  const row = (workspace: string, codeId: string, status: string, changed: number) => ({
    ...{ workspace, link_id: codeId, name: `Name of ${codeId}`, status, changed },
  });
  expect(await linksIn(folder)).toEqual([
    row("acme", "a", "deleted", made + 1),
    row("acme", "b", "deleted", made + 2),
    row("acme", "c", "active", made - 1),
    row("rival", "a", "active", made),
  ]);
  rmSync(folder, { recursive: true });
});
