/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/device.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "guests/linux/say.h"

#define DOORBELL  12
#define HOST_PEER 0u

void cvd_agent_device_ring(const struct cvd_agent_device *device, uint32_t region)
{
    uint32_t value = HOST_PEER << 16 | region;

    if (device->registers)
        device->registers[DOORBELL / sizeof value] = value;
    else if (pwrite(device->vfio, &value, sizeof value, (off_t)device->vfio_registers + DOORBELL) <
             0)
        cvd_agent_say("region %u: its doorbell cannot be rung: %s", region, strerror(errno));
}
