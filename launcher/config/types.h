/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/place.h"

G_BEGIN_DECLS

typedef struct CvdKey CvdKey;

/**
 * CvdType:
 * @read: checks @node and stores it in @slot, or adds a problem and leaves @slot as it is
 * @print: (nullable): Returns: (transfer full) (nullable): what @slot holds, as a file may have it;
 *   %NULL: nothing was given
 * @clear: (nullable): frees what @slot holds
 * @schema: JSON Schema of the value: an object, with ' in place of ", and `$min`, `$max`, `$words`
 *   and `$word` (the first) for what the key says
 *
 * What values of one kind have in common. A type is a constant; what a key cannot say is a type of
 * its own.
 */
typedef struct {
    void (*read)(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot);
    JsonNode *(*print)(const CvdKey *key, gconstpointer slot);
    void (*clear)(const CvdKey *key, gpointer slot);
    const char *schema;
} CvdType;

/**
 * CvdKey:
 * @name: the member's name
 * @since: the version that has it first
 * @type: what it holds
 * @offset: of the value's slot in the structure that the table fills
 * @initial: (nullable): the default, as a file would have it, with ' in place of "; without one the
 *   slot stays zero
 * @summary: (nullable): what it means, in words for the manual and the schema
 * @unit: (nullable): of a number whose unit the type does not say
 * @min: for integers and sizes: the least value allowed
 * @max: the greatest; for strings: how many bytes, 0 = any
 * @words: (array zero-terminated=1): the word for the values 0, 1, …; an empty one is not allowed
 * @members: (array zero-terminated=1): of an object: its keys; their slots are in this key's
 * @elements: (array zero-terminated=1): of a list: the keys of the objects in it; of a map: what
 *   its names are, and its values, each with a slot in an element
 * @element_size: of a map, in bytes
 * @schema: (nullable): members of the JSON Schema beside those of the type, written in the same way
 *
 * One member that an object may have. A table of them ends with %CVD_KEYS_END.
 */
struct CvdKey {
    const char *name;
    const char *since;
    const CvdType *type;
    gsize offset;
    const char *initial;
    const char *summary;
    const char *unit;
    guint64 min;
    guint64 max;
    const char *const *words;
    const CvdKey *members;
    const CvdKey *elements;
    gsize element_size;
    const char *schema;
};

/** CVD_KEY: a key; what comes after the summary are further members of #CvdKey, as `.min = 1` */
#define CVD_KEY(NAME, SINCE, TYPE, OFFSET, INITIAL, ...)                                           \
    {                                                                                              \
        .name = NAME, .since = SINCE, .type = &(TYPE), .offset = OFFSET, .initial = INITIAL,       \
        .summary = __VA_ARGS__                                                                     \
    }
#define CVD_KEYS_END                                                                               \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/** cvd_keys_init: Stores the defaults in @target, which is zeroed. */
void cvd_keys_init(const CvdKey *keys, gpointer target);

/**
 * cvd_keys_read:
 * @node: should be an object
 * @keys: what it may hold
 * @target: where the values go
 *
 * Reads every member; wrong values and unknown keys become problems, all of them.
 */
void cvd_keys_read(const CvdPlace *place, JsonNode *node, const CvdKey *keys, gpointer target);

/** cvd_keys_print: Returns: (transfer full): the object that would be read as @target. */
JsonNode *cvd_keys_print(const CvdKey *keys, gconstpointer target);
void cvd_keys_clear(const CvdKey *keys, gpointer target);

/**
 * cvd_json_from_quoted:
 * @text: JSON, with ' in place of "
 *
 * Returns: (transfer full): the value
 */
JsonNode *cvd_json_from_quoted(const char *text);

/* Strings, in a char *, which is freed when replaced. */
extern const CvdType cvd_type_string; /* not empty */
extern const CvdType cvd_type_path;   /* made absolute */
extern const CvdType
    cvd_type_name_or_path;             /* with a slash in it a path; else looked up elsewhere */
extern const CvdType cvd_type_strings; /* a list, which may be empty, in a char ** */

extern const CvdType cvd_type_boolean; /* in a gboolean */
extern const CvdType cvd_type_uint;    /* in a guint */
extern const CvdType cvd_type_size;    /* in a guint64: bytes, or a string with K, M or G */
extern const CvdType cvd_type_word;    /* one of @words, in an enum */
extern const CvdType cvd_type_object;
/* Values by name, at most @max, in an array; the slot is a pointer to it, with a guint, how many
 * they are, after that. An element begins with its name. */
extern const CvdType cvd_type_map;
extern const CvdType cvd_type_tree;    /* an object that somebody else reads, perhaps from a file */
extern const CvdType cvd_type_schema;  /* a string for other programs, which is not stored */
extern const CvdType cvd_type_ignored; /* anything; nobody reads it here */

#define CVD_STRING_SCHEMA "{'type': 'string', 'minLength': 1}"

/* For types that store in the same way. */
JsonNode *cvd_string_print(const CvdKey *key, gconstpointer slot);
void cvd_string_clear(const CvdKey *key, gpointer slot);
JsonNode *cvd_strings_print(const CvdKey *key, gconstpointer slot);
void cvd_strings_clear(const CvdKey *key, gpointer slot);

/** cvd_string_take: Replaces the string in @slot by @value. */
void cvd_string_take(gpointer slot, char *value);
/** cvd_strings_take: Replaces the strings in @slot by those of @values. */
void cvd_strings_take(gpointer slot, GStrvBuilder *values);
/** cvd_string_node: Returns: (transfer full): @text, as UTF-8 */
JsonNode *cvd_string_node(const char *text);
/** cvd_strings_node: Returns: (transfer full): a list of @strings, which may be %NULL */
JsonNode *cvd_strings_node(const char *const *strings);

/** cvd_found_number: Adds the problem that @key wants an integer, and which. */
void cvd_found_number(const CvdPlace *place, JsonNode *node, const CvdKey *key);
/** cvd_found_size: Adds the problem that @key wants a size, and which. */
void cvd_found_size(const CvdPlace *place, JsonNode *node, const CvdKey *key);

/**
 * cvd_parse_size:
 * @text: digits, with or without one of K, M and G (powers of 1024, in either case) after them
 * @bytes: (out): the size
 *
 * Returns: whether it is one, of less than 64 bits
 */
gboolean cvd_parse_size(const char *text, guint64 *bytes);

/**
 * cvd_format_size:
 *
 * Returns: (transfer full): a size as the files have it, with the largest of K, M and G that leaves
 *   an integer
 */
char *cvd_format_size(guint64 bytes);

G_END_DECLS
