/** What the tests use of pngjs, which comes without types. */
declare module "pngjs" {
  export const PNG: {
    sync: { read: (bytes: Uint8Array) => { width: number; height: number; data: Buffer } };
  };
}
