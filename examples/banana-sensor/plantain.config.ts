import { defineConfig } from "plantain/config";

export default defineConfig({
  guest: "linux",
  devices: [{ device: "./banana-sensor.ts", addr: 0x5000000, irq: 41, properties: { ambient: 21500, tau: 400 } }],
  files: { "/root/driver": "driver" },
});
