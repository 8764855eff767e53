// SPDX-License-Identifier: GPL-2.0-or-later
// What the test objects share: no header of a kernel or of libbpf is needed to compile them.
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define CORE __attribute__((preserve_access_index))
#define field_info(f, kind) __builtin_preserve_field_info(f, kind)
#define field_exists(f) field_info(f, 2)
#define type_info(t, kind) __builtin_preserve_type_info(*(typeof(t) *)0, kind)
#define enum_value(t, v, kind) __builtin_preserve_enum_value(*(typeof(t) *)v, kind)
#define ksym_exists(sym) (&sym != 0)

enum libbpf_tristate { TRI_NO = 0, TRI_YES = 1, TRI_MODULE = 2 };
