/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/device.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "guests/linux/say.h"
#include "vsoc/device.h"
#include "vsoc/ready.h"

int cvd_agent_device_read_position(struct cvd_agent_device *device)
{
    uint32_t *value = &device->iv_position;

    if (device->registers)
        *value = device->registers[VSOC_REGISTER_IV_POSITION / sizeof *value];
    else if (pread(device->vfio, value, sizeof *value,
                   (off_t)device->vfio_registers + VSOC_REGISTER_IV_POSITION) != sizeof *value)
        return cvd_agent_fail("BAR 0 cannot be read: %s", strerror(errno));
    return 0;
}

static void write_doorbell(const struct cvd_agent_device *device, uint32_t value)
{
    if (device->registers)
        device->registers[VSOC_REGISTER_DOORBELL / sizeof value] = value;
    else if (pwrite(device->vfio, &value, sizeof value,
                    (off_t)device->vfio_registers + VSOC_REGISTER_DOORBELL) < 0)
        cvd_agent_say("doorbell 0x%x cannot be rung: %s", value, strerror(errno));
}

void cvd_agent_device_ring(const struct cvd_agent_device *device, uint32_t region)
{
    write_doorbell(device, vsoc_doorbell_value(device->iv_position, region));
}

void cvd_agent_device_ring_ready(const struct cvd_agent_device *device)
{
    write_doorbell(device, VSOC_READY_DOORBELL);
}
