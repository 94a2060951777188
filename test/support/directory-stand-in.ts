import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { DirectoryService, type Target, TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { defineService } from "#runtime/service.ts";

/** Codes by "workspace/id", as the codes service keeps them. */
export type Targets = Map<string, Target>;

/**
 * Stands for the codes service where only its promise matters: the same id gives the same code, and the codes of a parent
 * can be led elsewhere. The id "code_taken" is one of a marketing code.
 */
export function directoryStandIn(targets: Targets) {
  return defineService({
    name: "directory-stand-in",
    collections: [],
    calls: [],
    publishes: [],
    consumes: [],
    routes: (router) =>
      router.service(DirectoryService, {
        createTarget({ target: wanted }, handler) {
          if (wanted === undefined || wanted.purpose !== Purpose.AMBASSADOR) throw new Error("a poster is wanted");
          if (wanted.codeId === "code_taken") throw new ConnectError("taken", Code.AlreadyExists);
          const { workspace, test } = contextOf(handler).principal;
          const key = `${workspace}/${wanted.codeId}`;
          const shortId = `s${targets.size + 1}`;
          const made = { ...wanted, shortId, workspaceId: workspace, test, status: TargetStatus.ACTIVE };
          const target = targets.get(key) ?? create(TargetSchema, made);
          targets.set(key, target);
          const base = "https://qr.example";
          return { target, scanUrl: `${base}/s/${target.shortId}`, qrImageUrl: `${base}/qr/${target.shortId}.png` };
        },
        updateTargets({ parentId, destination }, handler) {
          const { workspace } = contextOf(handler).principal;
          const own = [...targets.values()].filter(
            (target) => target.workspaceId === workspace && target.parentId === parentId,
          );
          for (const target of own) target.destination = destination;
          return { updated: own.length };
        },
      }),
  });
}
