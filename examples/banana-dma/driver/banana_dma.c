// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Linux driver of banana-dma, which copies and fills memory.
 *
 * /dev/banana-dma: what is written goes into a buffer that the device reads, is copied by it to another one, and is read
 * back from there. A write returns when the device has raised its interrupt. In the device's folder of sysfs, writing a
 * byte's value to `fill` makes the device fill what would be read; in debugfs, banana-dma/destination is the address that
 * the device writes to, for trying what happens where nothing is.
 *
 * banana-dma-regs.h is made from the device's definition, ../banana-dma.ts.
 */

#include <linux/bitfield.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/regmap.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "banana-dma-regs.h"

#define BUFFER_SIZE SZ_64K
/* Longer than any transfer of a buffer takes. */
#define TRANSFER_TIMEOUT_MS 5000

#define STATUS_ENDED (BANANA_DMA_STATUS_DONE | BANANA_DMA_STATUS_ERROR)

struct banana_dma {
	/* Whoever has the file open keeps this, also when the device is gone. */
	struct kref kref;
	struct miscdevice misc;
	struct dentry *debugfs;
	struct device *dev;
	struct regmap *regs;
	int irq;

	/* One transfer at a time; also guards what follows. */
	struct mutex lock;
	bool gone;
	size_t length; /* bytes in the destination */
	void *source;
	void *destination;
	dma_addr_t source_address;
	dma_addr_t destination_address;
	u64 target; /* where the device writes to: destination_address, unless debugfs says otherwise */

	/* From the interrupt to whoever waits. */
	struct completion ended;
	u32 status;
};

static void banana_dma_free(struct kref *kref)
{
	kfree(container_of(kref, struct banana_dma, kref));
}

/* A register of 64 bits is two of 32 to regmap, the lower half first. */
static int write_address(struct regmap *regs, unsigned int reg, u64 address)
{
	int error = regmap_write(regs, reg, lower_32_bits(address));

	return error ?: regmap_write(regs, reg + 4, upper_32_bits(address));
}

static irqreturn_t banana_dma_irq(int irq, void *data)
{
	struct banana_dma *bd = data;
	u32 status;

	if (regmap_read(bd->regs, BANANA_DMA_STATUS, &status) || !(status & STATUS_ENDED))
		return IRQ_NONE;
	/* Acknowledges what was seen, which lowers the line. */
	regmap_write(bd->regs, BANANA_DMA_STATUS, status & STATUS_ENDED);
	bd->status = status;
	complete(&bd->ended);
	return IRQ_HANDLED;
}

/* Has the device move `length` bytes, and sleeps until it has. The lock is held. */
static int transfer(struct banana_dma *bd, u32 mode, u64 source, size_t length)
{
	struct regmap *regs = bd->regs;
	u32 status;
	int error;

	error = regmap_read(regs, BANANA_DMA_STATUS, &status);
	if (error)
		return error;
	/* One that did not end in time is still on its way. */
	if (status & BANANA_DMA_STATUS_BUSY)
		return -EBUSY;
	/* Or it has just ended, and another hart is about to say so. */
	synchronize_irq(bd->irq);

	reinit_completion(&bd->ended);
	error = write_address(regs, BANANA_DMA_SRC, source);
	error = error ?: write_address(regs, BANANA_DMA_DST, bd->target);
	error = error ?: regmap_write(regs, BANANA_DMA_LEN, length);
	/* The buffers are coherent; the write that starts the device comes after what the processor wrote to them. */
	error = error ?: regmap_write(regs, BANANA_DMA_CTRL,
				      BANANA_DMA_CTRL_START | BANANA_DMA_CTRL_IRQ_EN |
				      FIELD_PREP(BANANA_DMA_CTRL_MODE, mode));
	if (error)
		return error;

	if (!wait_for_completion_timeout(&bd->ended, msecs_to_jiffies(TRANSFER_TIMEOUT_MS)))
		return -ETIMEDOUT;
	return bd->status & BANANA_DMA_STATUS_ERROR ? -EIO : 0;
}

static int banana_dma_open(struct inode *inode, struct file *file)
{
	/* misc_open() holds the lock that misc_deregister() takes: the device is there. */
	struct banana_dma *bd = container_of(file->private_data, struct banana_dma, misc);

	kref_get(&bd->kref);
	file->private_data = bd;
	return 0;
}

static int banana_dma_release(struct inode *inode, struct file *file)
{
	struct banana_dma *bd = file->private_data;

	kref_put(&bd->kref, banana_dma_free);
	return 0;
}

static ssize_t banana_dma_write(struct file *file, const char __user *from, size_t count, loff_t *offset)
{
	struct banana_dma *bd = file->private_data;
	ssize_t result;

	if (count == 0)
		return 0;
	if (count > BUFFER_SIZE)
		count = BUFFER_SIZE;
	if (mutex_lock_interruptible(&bd->lock))
		return -ERESTARTSYS;
	if (bd->gone) {
		result = -ENODEV;
	} else if (copy_from_user(bd->source, from, count)) {
		result = -EFAULT;
	} else {
		result = transfer(bd, BANANA_DMA_CTRL_MODE_COPY, bd->source_address, count);
		bd->length = result ? 0 : count;
	}
	mutex_unlock(&bd->lock);
	/* The position is the reader's. */
	return result ?: count;
}

static ssize_t banana_dma_read(struct file *file, char __user *to, size_t count, loff_t *offset)
{
	struct banana_dma *bd = file->private_data;
	ssize_t result;

	if (mutex_lock_interruptible(&bd->lock))
		return -ERESTARTSYS;
	if (bd->gone)
		result = -ENODEV;
	else
		result = simple_read_from_buffer(to, count, offset, bd->destination, bd->length);
	mutex_unlock(&bd->lock);
	return result;
}

static const struct file_operations banana_dma_fops = {
	.owner = THIS_MODULE,
	.open = banana_dma_open,
	.release = banana_dma_release,
	.read = banana_dma_read,
	.write = banana_dma_write,
	.llseek = default_llseek,
};

static ssize_t fill_store(struct device *dev, struct device_attribute *attribute, const char *text, size_t count)
{
	struct banana_dma *bd = dev_get_drvdata(dev);
	u8 value;
	int error = kstrtou8(text, 0, &value);

	if (error)
		return error;
	if (mutex_lock_interruptible(&bd->lock))
		return -ERESTARTSYS;
	error = transfer(bd, BANANA_DMA_CTRL_MODE_FILL, value, BUFFER_SIZE);
	bd->length = error ? 0 : BUFFER_SIZE;
	mutex_unlock(&bd->lock);
	return error ?: count;
}
static DEVICE_ATTR_WO(fill);

static struct attribute *banana_dma_attrs[] = { &dev_attr_fill.attr, NULL };
ATTRIBUTE_GROUPS(banana_dma);

static bool is_readable(struct device *dev, unsigned int reg)
{
	return reg == BANANA_DMA_CTRL || reg == BANANA_DMA_STATUS;
}

static bool is_writeable(struct device *dev, unsigned int reg)
{
	return reg <= BANANA_DMA_MAX_REGISTER;
}

static const struct regmap_config banana_dma_regmap = {
	.reg_bits = 32,
	.reg_stride = 4,
	.val_bits = 32,
	.max_register = BANANA_DMA_MAX_REGISTER,
	.readable_reg = is_readable,
	.writeable_reg = is_writeable,
	/* Used by the interrupt's handler. */
	.fast_io = true,
};

static int banana_dma_start(struct platform_device *pdev, struct banana_dma *bd)
{
	struct device *dev = &pdev->dev;
	void __iomem *base;
	int error;

	base = devm_platform_ioremap_resource(pdev, 0);
	if (IS_ERR(base))
		return PTR_ERR(base);
	bd->regs = devm_regmap_init_mmio(dev, base, &banana_dma_regmap);
	if (IS_ERR(bd->regs))
		return PTR_ERR(bd->regs);
	bd->irq = platform_get_irq(pdev, 0);
	if (bd->irq < 0)
		return bd->irq;

	error = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (error)
		return error;
	bd->source = dmam_alloc_coherent(dev, BUFFER_SIZE, &bd->source_address, GFP_KERNEL);
	bd->destination = dmam_alloc_coherent(dev, BUFFER_SIZE, &bd->destination_address, GFP_KERNEL);
	if (!bd->source || !bd->destination)
		return -ENOMEM;
	bd->target = bd->destination_address;

	/* Whatever an earlier user has left: nothing of it may interrupt. */
	error = regmap_write(bd->regs, BANANA_DMA_CTRL, 0);
	error = error ?: regmap_write(bd->regs, BANANA_DMA_STATUS, STATUS_ENDED);
	error = error ?: devm_request_irq(dev, bd->irq, banana_dma_irq, 0, dev_name(dev), bd);
	if (error)
		return error;

	bd->misc.minor = MISC_DYNAMIC_MINOR;
	bd->misc.name = "banana-dma";
	bd->misc.fops = &banana_dma_fops;
	bd->misc.parent = dev;
	return misc_register(&bd->misc);
}

static int banana_dma_probe(struct platform_device *pdev)
{
	struct banana_dma *bd = kzalloc(sizeof(*bd), GFP_KERNEL);
	int error;

	if (!bd)
		return -ENOMEM;
	kref_init(&bd->kref);
	mutex_init(&bd->lock);
	init_completion(&bd->ended);
	bd->dev = &pdev->dev;
	platform_set_drvdata(pdev, bd);

	error = banana_dma_start(pdev, bd);
	if (error) {
		kref_put(&bd->kref, banana_dma_free);
		return dev_err_probe(&pdev->dev, error, "cannot start\n");
	}
	bd->debugfs = debugfs_create_dir("banana-dma", NULL);
	debugfs_create_x64("destination", 0600, bd->debugfs, &bd->target);
	dev_info(&pdev->dev, "ready\n");
	return 0;
}

static void banana_dma_remove(struct platform_device *pdev)
{
	struct banana_dma *bd = platform_get_drvdata(pdev);
	u32 status;

	debugfs_remove(bd->debugfs);
	misc_deregister(&bd->misc);
	/* After this nobody starts a transfer any more. */
	mutex_lock(&bd->lock);
	bd->gone = true;
	mutex_unlock(&bd->lock);
	/* The buffers are freed next: one that did not end in time must have ended. */
	if (regmap_read_poll_timeout(bd->regs, BANANA_DMA_STATUS, status, !(status & BANANA_DMA_STATUS_BUSY), 1000,
				     TRANSFER_TIMEOUT_MS * 1000))
		dev_err(bd->dev, "a transfer does not end\n");
	regmap_write(bd->regs, BANANA_DMA_CTRL, 0);
	kref_put(&bd->kref, banana_dma_free);
}

static const struct of_device_id banana_dma_of_match[] = {
	{ .compatible = "acme,banana-dma" },
	{ }
};
MODULE_DEVICE_TABLE(of, banana_dma_of_match);

static struct platform_driver banana_dma_driver = {
	.probe = banana_dma_probe,
	.remove = banana_dma_remove,
	.driver = {
		.name = "banana-dma",
		.of_match_table = banana_dma_of_match,
		.dev_groups = banana_dma_groups,
	},
};
module_platform_driver(banana_dma_driver);

MODULE_DESCRIPTION("Driver of banana-dma, an example of Plantain's");
MODULE_LICENSE("Dual MIT/GPL");
