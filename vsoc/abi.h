/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#ifndef VSOC_ABI_H
#define VSOC_ABI_H

#include <stddef.h>
#include <stdint.h>

/*
 * The structures at the start of the window: vSoC layout version 2.0, an ABI with guest kernels
 * (`uapi/vsoc_shm.h` of Linux 4.19). Little-endian, without padding. This header includes nothing
 * but freestanding ones, so that a guest can use it too, and is C++ as well. It is also part of
 * what `cvd-launch --print-layout=c` prints.
 */

#ifdef __cplusplus
#define CVD_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define CVD_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#define VSOC_LAYOUT_MAJOR_VERSION 2
#define VSOC_LAYOUT_MINOR_VERSION 0
#define VSOC_DEVICE_NAME_SIZE     16
#define VSOC_MAX_DEVICE_NAME      (VSOC_DEVICE_NAME_SIZE - 1) /* in bytes, without the NUL */
#define VSOC_MAX_REGIONS          2048                        /* the device has no more vectors */
#define VSOC_MAX_NODES_LG2        16
#define VSOC_PAGE_SIZE            4096 /* regions start and end on a multiple of this */

/* Not for those who have the structures from elsewhere. */
#ifndef CVD_LAYOUT_NO_STRUCTURES
struct vsoc_shm_layout_descriptor {
    uint16_t major_version;
    uint16_t minor_version;
    uint32_t size; /* of the whole window, in bytes */
    uint32_t region_count;
    uint32_t vsoc_region_desc_offset; /* where the array of region descriptors starts */
};

struct vsoc_signal_table_layout {
    uint32_t num_nodes_lg2;
    uint32_t futex_uaddr_table_offset;   /* in the region */
    uint32_t interrupt_signalled_offset; /* in the region */
};

struct vsoc_device_region {
    uint16_t current_version;
    uint16_t min_compatible_version;
    uint32_t region_begin_offset; /* in the window */
    uint32_t region_end_offset;   /* in the window, exclusive */
    uint32_t offset_of_region_data;
    struct vsoc_signal_table_layout guest_to_host_signal_table;
    struct vsoc_signal_table_layout host_to_guest_signal_table;
    char device_name[VSOC_DEVICE_NAME_SIZE];
    uint32_t managed_by; /* index of the managing region; 0 = none */
};
#endif

CVD_STATIC_ASSERT(sizeof(struct vsoc_shm_layout_descriptor) == 16, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_shm_layout_descriptor, minor_version) == 2, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_shm_layout_descriptor, size) == 4, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_shm_layout_descriptor, region_count) == 8, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_shm_layout_descriptor, vsoc_region_desc_offset) == 12,
                  "ABI");
CVD_STATIC_ASSERT(sizeof(struct vsoc_signal_table_layout) == 12, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_signal_table_layout, futex_uaddr_table_offset) == 4, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_signal_table_layout, interrupt_signalled_offset) == 8,
                  "ABI");
CVD_STATIC_ASSERT(sizeof(struct vsoc_device_region) == 60, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, min_compatible_version) == 2, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, region_begin_offset) == 4, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, region_end_offset) == 8, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, offset_of_region_data) == 12, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, guest_to_host_signal_table) == 16, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, host_to_guest_signal_table) == 28, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, device_name) == 40, "ABI");
CVD_STATIC_ASSERT(offsetof(struct vsoc_device_region, managed_by) == 56, "ABI");

#endif
