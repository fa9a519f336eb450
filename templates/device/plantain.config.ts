import { defineConfig } from "plantain/config";

/** The machine that `plantain` boots in this folder: Linux, with the device on the board and the driver's folder inside. */
export default defineConfig({
  guest: "linux",
  devices: [{ device: "./my-device.ts", addr: 0x5000000, irq: 40 }],
  files: { "/root/driver": "driver" },
});
