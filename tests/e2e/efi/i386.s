# What x86_64.s prints of variables, for firmware that runs in 32 bits. It does not write.
    .intel_syntax noprefix
    .set DATA, 0x1000
    .set SIZE, 0x00
    .set ATTRIBUTES, 0x08
    .set GUID, 0x10
    .set NAME, 0x20
    .set CONTENT, 0x1000
    .set NAME_MAX, 0x0f00
    .set CONTENT_MAX, 0x10000

    .set RUNTIME_SERVICES, 56
    .set GET_VARIABLE, 48
    .set GET_NEXT_VARIABLE_NAME, 52
    .set SET_VARIABLE, 56

start:
    mov eax, [esp + 8]
    and esp, -16
    mov ebx, [eax + RUNTIME_SERVICES]
    call 1f
1:  pop ebp
    sub ebp, offset 1b - start
    lea edi, [ebp + DATA]

    mov dword ptr [edi + SIZE], 1
    lea ecx, [ebp + own_name - start]
    lea edx, [ebp + own_guid - start]
    call get
    inc byte ptr [edi + CONTENT]
    lea eax, [edi + CONTENT]
    push eax
    push 1
    push 7
    lea eax, [ebp + own_guid - start]
    push eax
    lea eax, [ebp + own_name - start]
    push eax
    call [ebx + SET_VARIABLE]
    add esp, 20
    mov [edi + SIZE], eax
    mov al, 'S'
    call put
    lea esi, [edi + SIZE]
    mov ecx, 4
    call field
    call line

next:
    mov dword ptr [edi + SIZE], NAME_MAX
    lea eax, [edi + GUID]
    push eax
    lea eax, [edi + NAME]
    push eax
    lea eax, [edi + SIZE]
    push eax
    call [ebx + GET_NEXT_VARIABLE_NAME]
    add esp, 12
    test eax, eax
    jnz done
    mov dword ptr [edi + SIZE], CONTENT_MAX
    lea ecx, [edi + NAME]
    lea edx, [edi + GUID]
    call get
    test eax, eax
    jnz next
    mov al, 'V'
    call put
    lea esi, [edi + GUID]
    mov ecx, 16
    call field
    lea esi, [edi + NAME]
    xor ecx, ecx
1:  cmp word ptr [esi + ecx], 0
    lea ecx, [ecx + 2]
    jne 1b
    sub ecx, 2
    call field
    lea esi, [edi + ATTRIBUTES]
    mov ecx, 4
    call field
    lea esi, [edi + CONTENT]
    mov ecx, [edi + SIZE]
    call field
    call line
    jmp next

done:
    mov al, 'E'
    call put
    call line
1:  hlt
    jmp 1b

# The variable of name ecx and namespace edx, into CONTENT.
get:
    lea eax, [edi + CONTENT]
    push eax
    lea eax, [edi + SIZE]
    push eax
    lea eax, [edi + ATTRIBUTES]
    push eax
    push edx
    push ecx
    call [ebx + GET_VARIABLE]
    add esp, 20
    ret

# A space, then the ecx bytes at esi in hexadecimal.
field:
    mov al, ' '
    call put
1:  jecxz 2f
    mov al, [esi]
    shr al, 4
    call digit
    mov al, [esi]
    and al, 15
    call digit
    inc esi
    dec ecx
    jmp 1b
2:  ret

digit:
    add al, '0'
    cmp al, '9'
    jbe put
    add al, 'a' - '9' - 1

# The byte al to the serial port, once it takes one.
put:
    mov ah, al
1:  mov dx, 0x3fd
    in al, dx
    test al, 0x20
    jz 1b
    mov dx, 0x3f8
    mov al, ah
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
