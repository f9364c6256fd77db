# What x86_64.s prints of variables, for QEMU's aarch64 `virt`: its serial port is a PL011. It does not write.
    .set DATA, 0x1000
    .set SIZE, 0x00
    .set ATTRIBUTES, 0x08
    .set GUID, 0x10
    .set NAME, 0x20
    .set CONTENT, 0x1000
    .set NAME_MAX, 0x0f00
    .set CONTENT_MAX, 0x10000

    .set RUNTIME_SERVICES, 88
    .set GET_VARIABLE, 72
    .set GET_NEXT_VARIABLE_NAME, 80
    .set SET_VARIABLE, 88

start:
    ldr x19, [x1, RUNTIME_SERVICES]
    adr x20, start
    add x20, x20, DATA
    add x21, x20, CONTENT
    mov x22, 0x09000000

    mov x0, 1
    str x0, [x20, SIZE]
    adr x0, own_name
    adr x1, own_guid
    bl get
    ldrb w0, [x21]
    add w0, w0, 1
    strb w0, [x21]
    adr x0, own_name
    adr x1, own_guid
    mov x2, 7
    mov x3, 1
    mov x4, x21
    ldr x8, [x19, SET_VARIABLE]
    blr x8
    str x0, [x20, SIZE]
    mov w0, 'S'
    bl put
    add x23, x20, SIZE
    mov x24, 8
    bl field
    bl line

next:
    mov x0, NAME_MAX
    str x0, [x20, SIZE]
    add x0, x20, SIZE
    add x1, x20, NAME
    add x2, x20, GUID
    ldr x8, [x19, GET_NEXT_VARIABLE_NAME]
    blr x8
    cbnz x0, done
    mov x0, CONTENT_MAX
    str x0, [x20, SIZE]
    add x0, x20, NAME
    add x1, x20, GUID
    bl get
    cbnz x0, next
    mov w0, 'V'
    bl put
    add x23, x20, GUID
    mov x24, 16
    bl field
    add x23, x20, NAME
    mov x24, 0
1:  ldrh w0, [x23, x24]
    cbz w0, 2f
    add x24, x24, 2
    b 1b
2:  bl field
    add x23, x20, ATTRIBUTES
    mov x24, 4
    bl field
    mov x23, x21
    ldr x24, [x20, SIZE]
    bl field
    bl line
    b next

done:
    mov w0, 'E'
    bl put
    bl line
1:  wfi
    b 1b

# The variable of name x0 and namespace x1, into CONTENT.
get:
    str x30, [sp, -16]!
    add x2, x20, ATTRIBUTES
    add x3, x20, SIZE
    mov x4, x21
    ldr x8, [x19, GET_VARIABLE]
    blr x8
    ldr x30, [sp], 16
    ret

# A space, then the x24 bytes at x23 in hexadecimal.
field:
    mov x25, x30
    mov w0, ' '
    bl put
1:  cbz x24, 2f
    ldrb w0, [x23]
    lsr w0, w0, 4
    bl digit
    ldrb w0, [x23], 1
    and w0, w0, 15
    bl digit
    sub x24, x24, 1
    b 1b
2:  ret x25

digit:
    add w0, w0, '0'
    cmp w0, '9'
    b.ls put
    add w0, w0, 'a' - '9' - 1

# The byte w0 to the serial port, once it takes one.
put:
    ldr w1, [x22, 0x18]
    tbnz w1, 5, put
    str w0, [x22]
    ret

line:
    mov w0, 10
    b put

    .balign 4
own_guid:
    .long 0x4f3a1d52
    .short 0x6c0b, 0x4b57
    .byte 0x9a, 0x55, 0x0f, 0x2f, 0x5d, 0x3c, 0x7e, 0x11
own_name:
    .short 'S', 't', 'a', 'r', 't', 's', 0
