// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Gives banana-sensor to a program in user space: the registers to be mapped from /dev/uioN, and its interrupt to be waited
 * for there. What to do with the chip is the program's business; the kernel's part is that
 *
 *  - CTRL.IRQ_EN, which is ours, is cleared when the interrupt comes, since only the program can make the chip take it back,
 *    until the program writes 1 to the file. Masking it at the interrupt controller would not do: a PLIC remembers a level
 *    that it saw at the end of the handler, and would interrupt for it when nothing is left to be done;
 *  - one program at a time has it;
 *  - a program that ends, in whatever way, leaves the heater off.
 *
 * So a program writes CTRL only as long as it has not asked for an interrupt.
 *
 * banana-sensor-regs.h is made from the device's definition, ../banana-sensor.ts.
 */

#include <linux/bitops.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/spinlock.h>
#include <linux/uio_driver.h>

#include "banana-sensor-regs.h"

struct banana_sensor {
	struct uio_info info;
	void __iomem *regs;
	unsigned long used; /* bit 0: a program has it */

	spinlock_t lock; /* guards CTRL */
};

static void set_enabled(struct banana_sensor *bs, bool enabled)
{
	unsigned long flags;
	u32 control;

	spin_lock_irqsave(&bs->lock, flags);
	control = readl(bs->regs + BANANA_SENSOR_CTRL) & ~BANANA_SENSOR_CTRL_IRQ_EN;
	writel(control | (enabled ? BANANA_SENSOR_CTRL_IRQ_EN : 0), bs->regs + BANANA_SENSOR_CTRL);
	spin_unlock_irqrestore(&bs->lock, flags);
}

/* The UIO core counts it and wakes the program. */
static irqreturn_t banana_sensor_irq(int irq, struct uio_info *info)
{
	struct banana_sensor *bs = info->priv;

	if (!(readl(bs->regs + BANANA_SENSOR_CTRL) & BANANA_SENSOR_CTRL_IRQ_EN) ||
	    !(readl(bs->regs + BANANA_SENSOR_STATUS) & BANANA_SENSOR_STATUS_ABOVE))
		return IRQ_NONE;
	set_enabled(bs, false);
	return IRQ_HANDLED;
}

static int banana_sensor_irqcontrol(struct uio_info *info, s32 on)
{
	set_enabled(info->priv, on);
	return 0;
}

static void make_quiet(struct banana_sensor *bs)
{
	unsigned long flags;

	writel(0, bs->regs + BANANA_SENSOR_HEATER);
	spin_lock_irqsave(&bs->lock, flags);
	writel(0, bs->regs + BANANA_SENSOR_CTRL);
	spin_unlock_irqrestore(&bs->lock, flags);
	writel(BANANA_SENSOR_STATUS_READY | BANANA_SENSOR_STATUS_ABOVE, bs->regs + BANANA_SENSOR_STATUS);
}

static int banana_sensor_open(struct uio_info *info, struct inode *inode)
{
	struct banana_sensor *bs = info->priv;

	return test_and_set_bit(0, &bs->used) ? -EBUSY : 0;
}

static int banana_sensor_release(struct uio_info *info, struct inode *inode)
{
	struct banana_sensor *bs = info->priv;

	make_quiet(bs);
	clear_bit(0, &bs->used);
	return 0;
}

static int banana_sensor_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct banana_sensor *bs;
	struct resource *resource;
	struct uio_info *info;
	int irq;

	bs = devm_kzalloc(dev, sizeof(*bs), GFP_KERNEL);
	if (!bs)
		return -ENOMEM;
	bs->regs = devm_platform_get_and_ioremap_resource(pdev, 0, &resource);
	if (IS_ERR(bs->regs))
		return PTR_ERR(bs->regs);
	irq = platform_get_irq(pdev, 0);
	if (irq < 0)
		return irq;
	spin_lock_init(&bs->lock);
	make_quiet(bs);

	info = &bs->info;
	info->name = "banana-sensor";
	info->version = "1";
	info->priv = bs;
	/* Whole pages: that is what a program can map. Where in the first one the registers are is in `offset` in sysfs. */
	info->mem[0].name = "registers";
	info->mem[0].addr = resource->start & PAGE_MASK;
	info->mem[0].offs = offset_in_page(resource->start);
	info->mem[0].size = PAGE_ALIGN(info->mem[0].offs + resource_size(resource));
	info->mem[0].memtype = UIO_MEM_PHYS;
	info->irq = irq;
	info->handler = banana_sensor_irq;
	info->irqcontrol = banana_sensor_irqcontrol;
	info->open = banana_sensor_open;
	info->release = banana_sensor_release;
	return devm_uio_register_device(dev, info);
}

static const struct of_device_id banana_sensor_of_match[] = {
	{ .compatible = "acme,banana-sensor" },
	{ }
};
MODULE_DEVICE_TABLE(of, banana_sensor_of_match);

static struct platform_driver banana_sensor_driver = {
	.probe = banana_sensor_probe,
	.driver = {
		.name = "banana-sensor",
		.of_match_table = banana_sensor_of_match,
	},
};
module_platform_driver(banana_sensor_driver);

MODULE_DESCRIPTION("UIO driver of banana-sensor, an example of Plantain's");
MODULE_LICENSE("Dual MIT/GPL");
