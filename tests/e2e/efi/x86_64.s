# A UEFI application for x86_64 that lets the guest speak for its variables: it counts its starts in a
# variable of its own, prints every variable to the first serial port, and halts.
#
#   S <status of SetVariable>
#   V <guid> <name> <attributes> <data>      each in hexadecimal, as the bytes lie in memory
#   E
#
# If there is a variable `Write`, it then writes 1 KiB of a number that counts up into `Number`, again and
# again, and prints each number once it is written:
#
#   W <number>
#
# Offsets of EFI_SYSTEM_TABLE and EFI_RUNTIME_SERVICES: UEFI 2.10, sections 4.3 and 4.5. The section that
# holds this is one page; the next one, DATA bytes behind its start, may be written to.
    .intel_syntax noprefix
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
    and rsp, -16
    sub rsp, 0x40
    mov rbx, [rdx + RUNTIME_SERVICES]
    lea r12, [rip + start + DATA]

    mov qword ptr [r12 + SIZE], 1
    lea rcx, [rip + own_name]
    lea rdx, [rip + own_guid]
    call get
    inc byte ptr [r12 + CONTENT]
    lea rcx, [rip + own_name]
    lea rdx, [rip + own_guid]
    mov r8d, 7
    mov r9d, 1
    lea rax, [r12 + CONTENT]
    mov [rsp + 0x20], rax
    call [rbx + SET_VARIABLE]
    mov [r12 + SIZE], rax
    mov al, 'S'
    call put
    lea rsi, [r12 + SIZE]
    mov edi, 8
    call field
    call line

next:
    mov qword ptr [r12 + SIZE], NAME_MAX
    lea rcx, [r12 + SIZE]
    lea rdx, [r12 + NAME]
    lea r8, [r12 + GUID]
    call [rbx + GET_NEXT_VARIABLE_NAME]
    test rax, rax
    jnz done
    mov qword ptr [r12 + SIZE], CONTENT_MAX
    lea rcx, [r12 + NAME]
    lea rdx, [r12 + GUID]
    call get
    test rax, rax
    jnz next
    mov al, 'V'
    call put
    lea rsi, [r12 + GUID]
    mov edi, 16
    call field
    lea rsi, [r12 + NAME]
    xor edi, edi
1:  cmp word ptr [rsi + rdi], 0
    lea rdi, [rdi + 2]
    jne 1b
    sub rdi, 2
    call field
    lea rsi, [r12 + ATTRIBUTES]
    mov edi, 4
    call field
    lea rsi, [r12 + CONTENT]
    mov rdi, [r12 + SIZE]
    call field
    call line
    jmp next

done:
    mov al, 'E'
    call put
    call line
    mov qword ptr [r12 + SIZE], CONTENT_MAX
    lea rcx, [rip + write_name]
    lea rdx, [rip + own_guid]
    call get
    xor r13d, r13d
    test rax, rax
    jz write
1:  hlt
    jmp 1b

write:
    inc r13d
    mov eax, r13d
    mov ecx, 256
    lea rdi, [r12 + CONTENT]
    rep stosd
    lea rcx, [rip + number_name]
    lea rdx, [rip + own_guid]
    mov r8d, 7
    mov r9d, 1024
    lea rax, [r12 + CONTENT]
    mov [rsp + 0x20], rax
    call [rbx + SET_VARIABLE]
    test rax, rax
    jnz 1b
    mov [r12 + SIZE], r13d
    mov al, 'W'
    call put
    lea rsi, [r12 + SIZE]
    mov edi, 4
    call field
    call line
    jmp write

# The variable of name rcx and namespace rdx, into CONTENT.
get:
    sub rsp, 0x38
    lea r8, [r12 + ATTRIBUTES]
    lea r9, [r12 + SIZE]
    lea rax, [r12 + CONTENT]
    mov [rsp + 0x20], rax
    call [rbx + GET_VARIABLE]
    add rsp, 0x38
    ret

# A space, then the rdi bytes at rsi in hexadecimal.
field:
    mov al, ' '
    call put
1:  test rdi, rdi
    jz 2f
    mov al, [rsi]
    shr al, 4
    call digit
    mov al, [rsi]
    and al, 15
    call digit
    inc rsi
    dec rdi
    jmp 1b
2:  ret

digit:
    add al, '0'
    cmp al, '9'
    jbe put
    add al, 'a' - '9' - 1

# The byte al to the serial port, once it takes one.
put:
    mov cl, al
1:  mov dx, 0x3fd
    in al, dx
    test al, 0x20
    jz 1b
    mov dx, 0x3f8
    mov al, cl
    out dx, al
    ret

line:
    mov al, 10
    jmp put

own_guid:
    .long 0x4f3a1d52
    .short 0x6c0b, 0x4b57
    .byte 0x9a, 0x55, 0x0f, 0x2f, 0x5d, 0x3c, 0x7e, 0x11
own_name:
    .short 'S', 't', 'a', 'r', 't', 's', 0
write_name:
    .short 'W', 'r', 'i', 't', 'e', 0
number_name:
    .short 'N', 'u', 'm', 'b', 'e', 'r', 0
