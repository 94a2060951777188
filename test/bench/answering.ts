import type { ConnectRouter } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { ScanDevice, ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { fail } from "#runtime/failure.ts";
import { newId } from "#runtime/internal.ts";
import { openLogger } from "#runtime/logger.ts";
import { startGrpcServer } from "#runtime/rpc/grpc-server.ts";
import { serverInterceptors } from "#runtime/rpc/interceptors.ts";
import { bindMethods } from "#runtime/rpc/methods.ts";

/** Key of the envelopes between the two processes. */
export const KEY = Buffer.alloc(32, 7);

const page = Array.from({ length: 100 }, (_, index) => ({
  id: `scan_01J8Z6YQ3N5T7W9XBCDEFGH${String(index).padStart(3, "0")}`,
  qprCodeId: "qpr_01J8Z6YQ3N5T7W9XBCDEFGHJKM",
  shortId: "aB3dE5fG",
  scannedAt: { seconds: 1_774_020_600n + BigInt(index), nanos: 0 },
  country: "DE",
  region: "BE",
  city: "Berlin",
  device: ScanDevice.MOBILE,
  metadata: { campaign: "spring", table: index, place: "window, second floor", leaflet: "A5, both sides, blue" },
}));

/** Handlers that do next to nothing: a small reply, and a page of 100 scans, which is 20 KB. */
export function answers() {
  const routes = (router: ConnectRouter): void => {
    router.service(AuthorityService, {
      getSettings: () => ({ timezone: "Europe/Berlin", privacy: { ip: 2, userAgent: 3, place: 3, deviceIdentity: 3 } }),
    });
    router.service(ScanService, { listScans: () => ({ scans: page, total: 100n, limit: 100 }) });
  };
  return bindMethods(routes, serverInterceptors(openLogger("silent")));
}

/** Serves them until the one who started this process goes away, and tells it the port. */
async function serve(): Promise<void> {
  const { port } = await startGrpcServer({
    address: "127.0.0.1:0",
    methods: answers(),
    key: KEY,
    authenticate: () => Promise.reject(fail("UNAUTHENTICATED")),
    complete: (envelope) => ({ ...envelope, now: Date.now, newId }),
  });
  process.stdout.write(`${port}\n`);
  process.stdin.on("end", () => process.exit(0)).resume();
}

if (import.meta.main) await serve();
