import { defineConfig } from "plantain/config";

export default defineConfig({
  guest: "linux",
  devices: [{ device: "./banana-dma.ts", addr: 0x5000000, irq: 40 }],
  files: { "/root/driver": "driver" },
});
