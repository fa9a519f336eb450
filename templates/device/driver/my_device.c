// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Linux driver of my-device.
 *
 * Writing a number to `count` in the device's folder of sysfs has the device count that many ticks; the write returns when
 * the device has interrupted. my-device-regs.h is made from the device's definition: `npm run driver` does it.
 */

#include <linux/bitfield.h>
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/regmap.h>

#include "my-device-regs.h"

#define MAGIC 0xdec0de
#define TIMEOUT_MS 5000

struct my_device_data {
	struct regmap *regs;
	int irq;
	struct mutex lock; /* one count at a time */
	struct completion done;
};

static irqreturn_t my_device_irq(int irq, void *cookie)
{
	struct my_device_data *data = cookie;
	u32 status;

	if (regmap_read(data->regs, MY_DEVICE_STATUS, &status) || !(status & MY_DEVICE_STATUS_DONE))
		return IRQ_NONE;
	/* Acknowledges, which lowers the line. */
	regmap_write(data->regs, MY_DEVICE_STATUS, MY_DEVICE_STATUS_DONE);
	complete(&data->done);
	return IRQ_HANDLED;
}

static int count(struct my_device_data *data, u32 ticks)
{
	u32 status;
	int error = regmap_read(data->regs, MY_DEVICE_STATUS, &status);

	if (error)
		return error;
	/* A count that did not end in time goes on, or has just ended on another hart. */
	if (status & MY_DEVICE_STATUS_BUSY)
		return -EBUSY;
	synchronize_irq(data->irq);

	reinit_completion(&data->done);
	error = regmap_write(data->regs, MY_DEVICE_COUNT, ticks);
	error = error ?: regmap_write(data->regs, MY_DEVICE_CTRL, MY_DEVICE_CTRL_START | MY_DEVICE_CTRL_IRQ_EN);
	if (error)
		return error;
	return wait_for_completion_timeout(&data->done, msecs_to_jiffies(TIMEOUT_MS)) ? 0 : -ETIMEDOUT;
}

static ssize_t count_store(struct device *dev, struct device_attribute *attribute, const char *text, size_t length)
{
	struct my_device_data *data = dev_get_drvdata(dev);
	u32 ticks;
	int error = kstrtou32(text, 0, &ticks);

	if (error)
		return error;
	if (mutex_lock_interruptible(&data->lock))
		return -ERESTARTSYS;
	error = count(data, ticks);
	mutex_unlock(&data->lock);
	return error ?: length;
}
static DEVICE_ATTR_WO(count);

static struct attribute *my_device_attrs[] = { &dev_attr_count.attr, NULL };
ATTRIBUTE_GROUPS(my_device);

static const struct regmap_config my_device_regmap = {
	.reg_bits = 32,
	.reg_stride = 4,
	.val_bits = 32,
	.max_register = MY_DEVICE_MAX_REGISTER,
	/* Spinlocks: the interrupt's handler uses it too. */
	.fast_io = true,
};

static int my_device_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct my_device_data *data;
	void __iomem *base;
	u32 id;
	int error;

	data = devm_kzalloc(dev, sizeof(*data), GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	mutex_init(&data->lock);
	init_completion(&data->done);
	platform_set_drvdata(pdev, data);

	base = devm_platform_ioremap_resource(pdev, 0);
	if (IS_ERR(base))
		return PTR_ERR(base);
	data->regs = devm_regmap_init_mmio(dev, base, &my_device_regmap);
	if (IS_ERR(data->regs))
		return PTR_ERR(data->regs);
	error = regmap_read(data->regs, MY_DEVICE_ID, &id);
	if (error)
		return error;
	if (FIELD_GET(MY_DEVICE_ID_MAGIC, id) != MAGIC)
		return dev_err_probe(dev, -ENODEV, "there is something else: ID is %#x\n", id);

	/* Nothing that an earlier driver has left may interrupt. */
	error = regmap_write(data->regs, MY_DEVICE_CTRL, 0);
	error = error ?: regmap_write(data->regs, MY_DEVICE_STATUS, MY_DEVICE_STATUS_DONE);
	if (error)
		return error;
	data->irq = platform_get_irq(pdev, 0);
	if (data->irq < 0)
		return data->irq;
	error = devm_request_irq(dev, data->irq, my_device_irq, 0, dev_name(dev), data);
	if (error)
		return error;
	dev_info(dev, "version %u\n", (unsigned int)FIELD_GET(MY_DEVICE_ID_VERSION, id));
	return 0;
}

static void my_device_remove(struct platform_device *pdev)
{
	struct my_device_data *data = platform_get_drvdata(pdev);

	regmap_write(data->regs, MY_DEVICE_CTRL, 0);
}

static const struct of_device_id my_device_of_match[] = {
	{ .compatible = "acme,my-device" },
	{ }
};
MODULE_DEVICE_TABLE(of, my_device_of_match);

static struct platform_driver my_device_driver = {
	.probe = my_device_probe,
	.remove = my_device_remove,
	.driver = {
		.name = "my-device",
		.of_match_table = my_device_of_match,
		.dev_groups = my_device_groups,
	},
};
module_platform_driver(my_device_driver);

MODULE_DESCRIPTION("Driver of my-device");
MODULE_LICENSE("Dual MIT/GPL");
