/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsoc/abi.h"

/*
 * Both sides of the client protocol as bytes and values: docs/protocol.md, The client socket, and
 * for the server's side of the binary dialect The binary dialect there. Knows no socket.
 */

/** VSOC_WIRE_BUFFER_SIZE: holds the longest message, and a whole handshake sent at once. */
#define VSOC_WIRE_BUFFER_SIZE 80
/** VSOC_WIRE_NUMBER_SIZE: `0x%08x`, in bytes, without a NUL. */
#define VSOC_WIRE_NUMBER_SIZE 10
/** VSOC_WIRE_ENTRY_SIZE: the longest entry of a listing, in bytes. */
#define VSOC_WIRE_ENTRY_SIZE (3 * VSOC_WIRE_NUMBER_SIZE + VSOC_MAX_DEVICE_NAME)
/** VSOC_WIRE_PASS_SIZE: of a message that carries descriptors, all zero, in bytes. */
#define VSOC_WIRE_PASS_SIZE 8
/** VSOC_WIRE_GET_VERSION: message 1 */
#define VSOC_WIRE_GET_VERSION "GET PROTOCOL_VER"
/** VSOC_WIRE_VERSION_REPLY: message 2 unless configured otherwise. */
#define VSOC_WIRE_VERSION_REPLY "PROTOCOL_VER 0"
/** VSOC_WIRE_MAX_VERSION: the longest known message 2, in bytes */
#define VSOC_WIRE_MAX_VERSION (sizeof VSOC_WIRE_VERSION_REPLY - 1)
/** VSOC_WIRE_GET_REGIONS: what asks for the listing */
#define VSOC_WIRE_GET_REGIONS "GET REGIONS"
/** VSOC_WIRE_MAX_REQUEST: messages 3 and 4 together, at most, in bytes */
#define VSOC_WIRE_MAX_REQUEST (35 + 12 + VSOC_MAX_DEVICE_NAME)
/** VSOC_WIRE_UNKNOWN: what stands in place of an offset when there is no such region. */
#define VSOC_WIRE_UNKNOWN 0xffffffffu
/** VSOC_WIRE_IN_USE: what follows that for an exclusive region, before the name of who has it. */
#define VSOC_WIRE_IN_USE " in use by "
/** VSOC_WIRE_REFUSAL_SIZE: both together, and the name, at most, in bytes. */
#define VSOC_WIRE_REFUSAL_SIZE 80

/** What the client has to say next. */
enum vsoc_wire_expects {
    VSOC_WIRE_EXPECTS_VERSION,       /* message 1 */
    VSOC_WIRE_EXPECTS_REQUEST,       /* message 3, or `GET REGIONS` */
    VSOC_WIRE_EXPECTS_NAME,          /* message 4, in either form */
    VSOC_WIRE_EXPECTS_LEGACY_LENGTH, /* message 2 of the binary dialect */
    VSOC_WIRE_EXPECTS_LEGACY_NAME,   /* message 3 of the binary dialect */
    VSOC_WIRE_EXPECTS_NOTHING,       /* whatever comes is wrong */
};

enum vsoc_wire_event {
    VSOC_WIRE_MORE,       /* no whole message is there */
    VSOC_WIRE_VERSION,    /* message 1 */
    VSOC_WIRE_LIST,       /* `GET REGIONS` */
    VSOC_WIRE_BAD_LENGTH, /* a name of 0 or too many bytes was announced */
    VSOC_WIRE_REGION,     /* a name has arrived */
    VSOC_WIRE_MALFORMED,  /* anything else; nothing more can be parsed */
};

/** Turns the bytes of a client into requests. */
struct vsoc_wire_parser {
    enum vsoc_wire_expects expects;
    uint8_t name_length;
    bool observes; /* the region whose name is due, or came last */
    uint8_t n_bytes;
    char bytes[VSOC_WIRE_BUFFER_SIZE];
};

/** The name that a client asks for; any bytes, @length of them, then a NUL. */
struct vsoc_wire_name {
    size_t length;
    bool observes; /* it only wants to look */
    char bytes[VSOC_DEVICE_NAME_SIZE];
};

/**
 * vsoc_wire_init:
 * @parser: (out)
 * @expects: %VSOC_WIRE_EXPECTS_VERSION or %VSOC_WIRE_EXPECTS_LEGACY_LENGTH
 */
void vsoc_wire_init(struct vsoc_wire_parser *parser, enum vsoc_wire_expects expects);

/** vsoc_wire_is_untouched: Returns: whether no byte of the first message has come */
bool vsoc_wire_is_untouched(const struct vsoc_wire_parser *parser);

/**
 * vsoc_wire_get_room:
 * @parser: a parser of which vsoc_wire_next() has returned %VSOC_WIRE_MORE
 * @size: (out): the room there, at least 1 byte
 *
 * Returns: where the next bytes are to be put, before vsoc_wire_add()
 */
char *vsoc_wire_get_room(struct vsoc_wire_parser *parser, size_t *size);

/** vsoc_wire_add: @size bytes, at most the room, have been put there. */
void vsoc_wire_add(struct vsoc_wire_parser *parser, size_t size);

/** vsoc_wire_has_begun: Returns: whether there are bytes of a message, white space apart */
bool vsoc_wire_has_begun(struct vsoc_wire_parser *parser);

/**
 * vsoc_wire_next:
 * @name: (out): filled with %VSOC_WIRE_REGION
 *
 * Takes one message off the buffer. A message is refused with its first wrong byte.
 */
enum vsoc_wire_event vsoc_wire_next(struct vsoc_wire_parser *parser, struct vsoc_wire_name *name);

/**
 * vsoc_wire_get_wanted: after %VSOC_WIRE_MALFORMED
 * @wrong: (out): where in the buffer the offending bytes begin
 *
 * Returns: what was expected in their place
 */
const char *vsoc_wire_get_wanted(const struct vsoc_wire_parser *parser, size_t *wrong);

/**
 * vsoc_wire_format_number:
 * @out: room for %VSOC_WIRE_NUMBER_SIZE bytes and a NUL
 *
 * Returns: %VSOC_WIRE_NUMBER_SIZE
 */
size_t vsoc_wire_format_number(char *out, uint32_t number);

/** One region of a listing. */
struct vsoc_wire_entry {
    uint32_t begin;
    uint32_t end;
    char name[VSOC_DEVICE_NAME_SIZE];
};

/**
 * vsoc_wire_format_entry:
 * @out: room for %VSOC_WIRE_ENTRY_SIZE bytes and a NUL
 * @name: at most %VSOC_MAX_DEVICE_NAME bytes
 *
 * Returns: the entry's length in bytes
 */
size_t vsoc_wire_format_entry(char *out, uint32_t begin, uint32_t end, const char *name);

/**
 * vsoc_wire_format_request: messages 3 and 4
 * @out: room for %VSOC_WIRE_MAX_REQUEST bytes and a NUL
 * @name: at most %VSOC_MAX_DEVICE_NAME bytes
 * @observes: whether only to look
 *
 * Returns: their length in bytes
 */
size_t vsoc_wire_format_request(char *out, const char *name, bool observes);

/** Message 10: who may have a region, and whether anybody has. */
enum vsoc_wire_sharing {
    VSOC_WIRE_SHARED, /* any number of programs */
    VSOC_WIRE_FREE,   /* one program at a time, and now none */
    VSOC_WIRE_TAKEN,  /* one, the process of message 11, if that is known */
};

enum vsoc_wire_version {
    VSOC_WIRE_VERSION_MORE,      /* not all of it has arrived */
    VSOC_WIRE_VERSION_0,         /* `PROTOCOL_VER 0`, or `0x00000000`, as servers say that are
                                    configured for programs of June 2017 */
    VSOC_WIRE_VERSION_OTHER,     /* another version */
    VSOC_WIRE_VERSION_MALFORMED, /* no version at all */
};

/**
 * vsoc_wire_parse_version:
 * @bytes: what has arrived of message 2
 * @size: at most %VSOC_WIRE_MAX_VERSION
 */
enum vsoc_wire_version vsoc_wire_parse_version(const char *bytes, size_t size);

/**
 * vsoc_wire_parse_number:
 * @bytes: %VSOC_WIRE_NUMBER_SIZE of them: `0x` and 8 hexadecimal digits of either case
 * @number: (out)
 *
 * Returns: whether they are that
 */
bool vsoc_wire_parse_number(const char *bytes, uint32_t *number);

/** How much of something is there. */
enum vsoc_wire_parsed {
    VSOC_WIRE_PARSED,
    VSOC_WIRE_INCOMPLETE,
    VSOC_WIRE_WRONG,
};

/**
 * vsoc_wire_parse_entry:
 * @bytes: what has arrived, @size of them
 * @entry: (out): the region
 * @used: (out): how many bytes the entry has
 *
 * Takes one entry of a listing apart. A name that no region can have is wrong.
 */
enum vsoc_wire_parsed vsoc_wire_parse_entry(const char *bytes, size_t size,
                                            struct vsoc_wire_entry *entry, size_t *used);
