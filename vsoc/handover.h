/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * What the server hands over to a VM, QEMU's ivshmem protocol: docs/protocol.md, The VM socket. It
 * is a sequence of numbered messages, each of which can be only one thing: the index says what.
 */

/** VSOC_HANDOVER_SIZE: of each message, in bytes: a little-endian number, with one descriptor
 * or none */
#define VSOC_HANDOVER_SIZE 8
/** VSOC_HANDOVER_FIRST: how many messages come before those of the regions */
#define VSOC_HANDOVER_FIRST 3
/** VSOC_HANDOVER_REFUSAL: sent in place of version 0. QEMU says "server sent version 1, expecting
 * 0" and exits; at the end of the stream it would go on reading for ever. */
#define VSOC_HANDOVER_REFUSAL 1
/** VSOC_HANDOVER_VM_ID: the VM's number, if nothing else was agreed on. QEMU saves the state of a
 * VM only if that has the number 0. */
#define VSOC_HANDOVER_VM_ID 1

/** What a message is, and which descriptor goes with it. */
enum vsoc_handover_kind {
    VSOC_HANDOVER_VERSION,       /* without one */
    VSOC_HANDOVER_ID,            /* without one */
    VSOC_HANDOVER_WINDOW,        /* the window */
    VSOC_HANDOVER_GUEST_TO_HOST, /* the doorbell of that direction of @region */
    VSOC_HANDOVER_HOST_TO_GUEST, /* the same */
    VSOC_HANDOVER_READY,         /* the doorbell by which the guest says that it is ready */
};

struct vsoc_handover_message {
    enum vsoc_handover_kind kind;
    uint32_t region;
    int64_t value;
};

/** vsoc_handover_count: Returns: how many messages there are; a server that wants to hear when the
 * guest is ready (vsoc/ready.h) sends one more */
uint32_t vsoc_handover_count(uint32_t n_regions);

/**
 * vsoc_handover_get:
 * @index: at most vsoc_handover_count(): the one more
 * @vm_id: the number that the VM has among the peers, 0 or 1; the host has the other
 *
 * Returns: message @index
 */
struct vsoc_handover_message vsoc_handover_get(uint32_t index, uint32_t n_regions, uint32_t vm_id);

void vsoc_handover_encode(uint8_t bytes[VSOC_HANDOVER_SIZE], int64_t value);
int64_t vsoc_handover_decode(const uint8_t bytes[VSOC_HANDOVER_SIZE]);
